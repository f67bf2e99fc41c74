"""What may be set of a study: the base of every class of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Options"]

Own = TypeVar("Own", bound="Options")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a study: a field is a flag, its line under `Args` in the docstring the help.

    A subclass is a frozen, keyword-only dataclass whose every field has a default. A field with the
    metadata `{"identity": False}` may be changed in a folder with unfinished or finished work: what
    is kept there does not depend on it.
    """

    def quick(self: Own) -> Own:
        """The options of a run that only shows that all works: seconds, and no meaning."""
        return self

    def check(self) -> None:
        """Raise ValueError for what can be seen to be wrong before anything is loaded."""
