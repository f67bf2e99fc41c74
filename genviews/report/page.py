"""What the pages have in common: their templates, their style, and a few words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["DASH", "Fact", "how_made", "page_duration", "render_page"]

DASH = "\N{EN DASH}"  # an empty cell


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number in large type at the top of a page."""

    name: str
    value: str
    note: str = ""


def render_page(template: str, **values: object) -> str:
    """Fill a template of this folder; `style` is there for it.

    Args:
        template: file name.
        values: all that the template names; text is escaped, `Markup` is not.
    """
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_read),
    )
    return environment.get_template(template).render(style=Markup(_read("page.css")), **values)


def how_made(
    command: str,
    seconds: Mapping[str, float],
    versions: Mapping[str, str],
    config: Mapping[str, object],
) -> dict[str, object]:
    """The values of the last section of every page.

    Args:
        command: that made the results; "" is left out.
        seconds: stage -> its duration.
        versions: package -> its version.
        config: the resolved options.
    """
    return {
        "command": command,
        "seconds": [(name, f"{value:,.1f}") for name, value in seconds.items()],
        "total": page_duration(sum(seconds.values())) if seconds else "",
        "versions": sorted(versions.items()),
        "config": json.dumps(dict(config), indent=2, default=str) if config else "",
    }


def page_duration(seconds: float) -> str:
    """Seconds in words: "42 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 90:
        return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _read(name: str) -> str:
    return files("genviews.report").joinpath(name).read_text(encoding="utf-8")
