"""Where images come from: whole sets in memory (`ImageSet`), or sources that are read in parts."""

from __future__ import annotations

from genviews.data.dataset_source import DatasetSource, load_dataset
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.file_source import Alignment, FileSource
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, LabelColumn, MemorySource, SourceBatch
from genviews.data.split import SplitName
from genviews.data.store_source import StoreSource

__all__ = [
    "Alignment",
    "DatasetSource",
    "FileSource",
    "ImageSet",
    "ImageSource",
    "LabelColumn",
    "MemorySource",
    "SourceBatch",
    "SplitName",
    "StoreSource",
    "fashion_mnist",
    "labelled_subset",
    "load_dataset",
]
