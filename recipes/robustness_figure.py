"""The README's figure of the study of shifts: the image alone, the best rival, generated views."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["SERIES", "drawn"]

SERIES = (
    ("single image", "", "the image alone", "#8a9199", "o"),
    ("best rival", "", "best filter, pixel views or autoencoder", "#2b6cb0", "D"),
    ("generated views", "known shift", "generated views", "#1a7f37", "o"),
)
"""Row and protocol of the study, words, colour, marker."""

_WORDS = {"gaussian_noise": "noise", "impulse_noise": "salt and pepper", "gaussian_blur": "blur"}


def drawn(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """An SVG file: accuracy on test of each shift of the middle severity, and of each attack.

    Args:
        rows: of the study, those of its first classifier.
    """
    shifts = [one for one in dict.fromkeys(row["shift"] for row in rows) if _shown(one)]
    known = {(row["shift"], row["row"], row["protocol"]): row for row in rows}
    style = {"svg.hashsalt": "genviews", "font.family": "sans-serif", "font.size": 10}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.2, 0.32 * len(shifts) + 1.0))
        axes = figure.add_axes((0.19, 0.13, 0.78, 0.77))
        for place, shift in enumerate(shifts):
            found = [known[shift, row, protocol] for row, protocol, *_ in SERIES]
            shares = [100 * one["accuracy"] for one in found]
            axes.plot([shares[0], shares[-1]], [place, place], color="#c9e2cf", lw=5, zorder=1)
            for one, share, (*_, colour, marker) in zip(found, shares, SERIES, strict=True):
                low, high = (100 * end for end in one["interval"])
                axes.plot([low, high], [place, place], color=colour, lw=1.2, zorder=2)
                axes.plot(share, place, marker, color=colour, ms=6.5, zorder=3)
        for *_, words, colour, marker in SERIES:
            axes.plot([], [], marker, color=colour, ms=6.5, label=words)
        axes.set(ylim=(len(shifts) - 0.5, -0.6), xlim=(0, 100), yticks=range(len(shifts)))
        axes.set_yticklabels([_named(shift) for shift in shifts])
        axes.set_xlabel("accuracy on test images, %, with its 95 % interval")
        axes.grid(axis="x", color="#e5e7eb", lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        figure.legend(loc="upper center", ncol=3, frameon=False, handletextpad=0.2)
        text = io.BytesIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, facecolor="white")
    return text.getvalue()


def _shown(shift: str) -> bool:
    return ":3@" in shift or "@" not in shift


def _named(shift: str) -> str:
    """In words: "blur", "PGD 0.1"."""
    kind, colon, rest = shift.partition(":")
    if "@" in shift:
        return _WORDS.get(kind, "JPEG" if kind == "jpeg" else kind)
    return shift if shift == "clean" else f"{kind.upper()}{' ' if colon else ''}{rest}"
