"""Where images come from: Fashion-MNIST or any folder; each is read into an `ImageSet`."""

from __future__ import annotations

from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.data.folder import load_folder
from genviews.data.images import ImageSet

__all__ = ["ImageSet", "fashion_mnist", "labelled_subset", "load_folder"]
