"""Alignment: an image brought to the pose and frame that a generator draws, with what is known."""

from genviews.align.aligners import CARS, CAT_FACE, CentreBox, FaceQuad, Frame, Similarity
from genviews.align.base import Aligned, Aligner, Box, Geometry, UnalignableError, stack
from genviews.align.detect import Detector, DlibLandmarks
from genviews.align.table import GeometryTable, read_geometry

__all__ = [
    "CARS",
    "CAT_FACE",
    "Aligned",
    "Aligner",
    "Box",
    "CentreBox",
    "Detector",
    "DlibLandmarks",
    "FaceQuad",
    "Frame",
    "Geometry",
    "GeometryTable",
    "Similarity",
    "UnalignableError",
    "read_geometry",
    "stack",
]
