"""How good a representation is, and how good the generator that taught it."""

from genviews.evaluate.detection_ap import (
    BoxAnnotations,
    Detections,
    DetectionScore,
    detection_ap,
)
from genviews.evaluate.extractor import (
    AugmentedFeatures,
    FeatureExtractor,
    Features,
    centre_view,
    check_features,
    extract_features,
    l2_normalise,
)
from genviews.evaluate.fidelity import (
    FidelityReport,
    GeneratedSource,
    frechet_distance,
    frechet_inception_distance,
    kernel_inception_distance,
    measure_fidelity,
    precision_recall_manifolds,
)
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.photos import LabelledFiles, PhotoSource
from genviews.evaluate.precision import average_precision, resampled_precision
from genviews.evaluate.probe import KNNProbe, Probe, ProbeScore
from genviews.evaluate.sgd import SGDConfig, SGDProbe, sgd_preset
from genviews.evaluate.svm import MultiLabelScore, MultiLabelSVM
from genviews.evaluate.transfer import (
    caltech101,
    caltech_probe,
    imagenet_subset,
    labelled_folder,
    probe_files,
    read_wnids,
    stanford_cars,
)
from genviews.evaluate.voc import BoxedFiles, VOCDecisions, decide_voc, read_voc, read_voc_boxes
from genviews.evaluate.voc_detection import (
    detect_voc,
    detection_photos,
    evaluate_detector,
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
    "average_precision",
    "caltech101",
    "caltech_probe",
    "centre_view",
    "check_features",
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
