"""How good a representation is, and how good the generator that taught it."""

from genviews.evaluate.detection_ap import (
    BoxAnnotations,
    Detections,
    DetectionScore,
    detection_ap,
)
from genviews.evaluate.extractor import (
    FeatureExtractor,
    centre_view,
    check_features,
    l2_normalise,
)
from genviews.evaluate.features import AugmentedFeatures, Features, extract_features
from genviews.evaluate.fidelity import (
    FidelityReport,
    frechet_distance,
    frechet_inception_distance,
    kernel_inception_distance,
    measure_fidelity,
    precision_recall_manifolds,
)
from genviews.evaluate.generated import GeneratedSource
from genviews.evaluate.knn import KNNProbe
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.photos import LabelledFiles, PhotoSource
from genviews.evaluate.precision import average_precision, resampled_precision
from genviews.evaluate.probe import Probe, ProbeScore
from genviews.evaluate.readers import (
    caltech101,
    imagenet_subset,
    labelled_folder,
    read_wnids,
    stanford_cars,
)
from genviews.evaluate.sgd import SGDConfig, SGDProbe, sgd_preset
from genviews.evaluate.svm import MultiLabelScore, MultiLabelSVM
from genviews.evaluate.transfer import caltech_probe, probe_files
from genviews.evaluate.voc import VOCDecisions, VOCFiles, classify_voc, decide_voc, read_voc
from genviews.evaluate.voc_detection import (
    BoxedFiles,
    detect_voc,
    detection_photos,
    evaluate_detector,
    read_voc_boxes,
    train_detector,
)

__all__ = [
    "AugmentedFeatures",
    "BoxAnnotations",
    "BoxedFiles",
    "DetectionScore",
    "Detections",
    "FeatureExtractor",
    "Features",
    "FidelityReport",
    "GeneratedSource",
    "KNNProbe",
    "LabelledFiles",
    "LinearProbe",
    "MultiLabelSVM",
    "MultiLabelScore",
    "PhotoSource",
    "Probe",
    "ProbeScore",
    "SGDConfig",
    "SGDProbe",
    "VOCDecisions",
    "VOCFiles",
    "average_precision",
    "caltech101",
    "caltech_probe",
    "centre_view",
    "check_features",
    "classify_voc",
    "decide_voc",
    "detect_voc",
    "detection_ap",
    "detection_photos",
    "evaluate_detector",
    "extract_features",
    "measure_fidelity",
    "frechet_distance",
    "frechet_inception_distance",
    "imagenet_subset",
    "kernel_inception_distance",
    "l2_normalise",
    "labelled_folder",
    "precision_recall_manifolds",
    "probe_files",
    "read_voc",
    "read_voc_boxes",
    "read_wnids",
    "resampled_precision",
    "sgd_preset",
    "stanford_cars",
    "train_detector",
]
