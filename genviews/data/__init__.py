"""Where images come from: whole sets in memory (`ImageSet`), or sources that are read in parts."""

from __future__ import annotations

from genviews.data.dataset_source import DatasetSource, load_dataset
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.file_source import Alignment, CSVSource, FolderSource
from genviews.data.folder import load_folder
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource, SourceBatch
from genviews.data.store_source import StoreSource

__all__ = [
    "Alignment",
    "CSVSource",
    "DatasetSource",
    "FolderSource",
    "ImageSet",
    "ImageSource",
    "MemorySource",
    "SourceBatch",
    "StoreSource",
    "fashion_mnist",
    "labelled_subset",
    "load_dataset",
    "load_folder",
]
