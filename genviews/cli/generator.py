"""`genviews generator`: what a generator is, and the same as a file of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from genviews.cli.check import class_names_of, function_settings
from genviews.cli.console import Terminal, say
from genviews.cli.flags import PLAIN, FunctionFlags

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.kit import GeneratorKit

__all__ = ["generator"]

generator = App(
    name="generator",
    help="Look at a generator or convert it; no code of a file is run. See docs/generators.md.",
    default_parameter=PLAIN,
)
_FUNCTION = FunctionFlags()


@generator.command
def show(
    word: str,
    /,
    *,
    function: FunctionFlags = _FUNCTION,
    json_: Annotated[bool, Parameter(name="--json", show_default=False)] = False,
) -> int:
    """Show family, sizes, latents, named rows, classes, parameters, source, licence and code.

    Args:
        word: As for --generator: a file, a kit, a folder of diffusers, the name of downloaded
            weights, or package.module:function.
        function: What is said of a function.
        json_: Show it as JSON.
    """
    from genviews.load.facts import generator_facts

    facts = generator_facts(_kit(word, function))
    console = Terminal()
    if json_:
        for line in json.dumps(facts, indent=2, ensure_ascii=False).splitlines():
            say(console, line)
    else:
        for name, value in _lines(facts):
            say(console, f"{name:<11} {value}")
    return 0


@generator.command
def convert(
    word: str,
    /,
    *,
    out: Path,
    function: FunctionFlags = _FUNCTION,
    force: Annotated[bool, Parameter(show_default=False)] = False,
) -> int:
    """Write it as safetensors with its spec in the header, and a card beside it.

    Args:
        word: A file, a kit, the name of downloaded weights, or package.module:function that makes a
            generator of a family.
        function: What is said of a function.
        out: The file, NAME.safetensors; the card is NAME.card.json.
        force: Replace files that are there.
    """
    from genviews.load import facts

    path, card = facts.convert(_kit(word, function), out, force=force)
    say(Terminal(), f"wrote {path} and {card.name}")
    return 0


def _kit(word: str, flags: FunctionFlags) -> GeneratorKit:
    from genviews.load.generator import load_generator

    return load_generator(word, **function_settings(flags), class_names=class_names_of(flags))


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts in words, what is empty left out."""
    images, latents = facts["images"], facts["latents"]
    size = f"{images['height']} x {images['width']}, {images['channels']} channels"
    low, high = images["range"]
    rows = ", ".join(f"{name} [{a}, {b})" for name, (a, b) in facts["ranges"].items())
    names = f": {', '.join(facts['class_names'])}" if facts["class_names"] else ""
    lines = [
        ("name", facts["name"]),
        ("family", facts["family"]),
        ("images", f"{size}, [{low:g}, {high:g}]"),
        ("z", str(facts["z"])),
        ("latents", f"{latents['space']}, {latents['rows']} rows of {latents['width']}"),
        ("rows", rows),
        ("classes", f"{facts['classes'] or 'none'}{names}"),
        ("gradient", "reaches the latents" if facts["gradient"] else "none: it is not inverted"),
        ("parameters", f"{facts['parameters']:,}"),
        ("source", facts["source"]),
        ("licence", facts["licence"]),
        *(("note", note) for note in facts["notes"]),
    ]
    return [(name, text) for name, text in lines if text]
