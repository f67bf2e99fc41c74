"""What the pages have in common: their templates, their style, and a few words."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["Fact", "page_duration", "render_page"]


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


def page_duration(seconds: float) -> str:
    """Seconds in words: "42 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 90:
        return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _read(name: str) -> str:
    return files("genviews.report").joinpath(name).read_text(encoding="utf-8")
