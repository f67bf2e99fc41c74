"""What may be set of a study: the base of every class of options."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

from genviews.checks import check_ascending, check_count

__all__ = ["Options"]

Own = TypeVar("Own", bound="Options")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a study: a field is a flag, its line under `Args` in the docstring the help.

    A subclass is a frozen, keyword-only dataclass whose every field has a default. Whole numbers
    are at least 1, or the `least` of their metadata; several numbers ascend from 0. A field with
    the metadata `{"identity": False}` may be changed in a folder with unfinished or finished work:
    what is kept there does not depend on it.
    """

    def quick(self: Own) -> Own:
        """The options of a run that only shows that all works: seconds, and no meaning."""
        return self

    def check(self) -> None:
        """Raise ValueError for what can be seen to be wrong before anything is loaded."""
        for field in fields(self):
            value, flag = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if isinstance(value, int) and not isinstance(value, bool):
                check_count(value, flag, least=field.metadata.get("least", 1))
            elif isinstance(value, tuple) and isinstance(field.default, tuple):
                known = [*value, *field.default]
                if known and all(isinstance(one, (int, float)) for one in known):
                    check_ascending(value, flag)
