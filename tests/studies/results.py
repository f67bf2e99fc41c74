"""A result with a block of every kind, for the tests of records and renderers."""

from __future__ import annotations

import torch

from genviews.gates.gate import Gate
from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Chart,
    Column,
    Curves,
    Estimate,
    Grid,
    Images,
    Mark,
    Note,
    Picture,
    Series,
    Table,
)
from genviews.studies.result import Claim, Record, Result

TABLE = Table(
    title="What each kind of view gains",
    columns=(
        Column(name="views from", priority=0),
        Column(name="accuracy", kind="percent", digits=2, help="right answers on test"),
        Column(name="gain", kind="points", priority=0),
        Column(name="Holm p", kind="p", priority=2),
        Column(name="fixed", kind="count", priority=3),
        Column(name="alpha", digits=2, kind="number", priority=3),
        Column(name="time", kind="seconds", priority=4),
    ),
    rows=(
        ("single image", Estimate(0.872, (0.86, 0.883)), None, None, None, None, 0.2),
        (
            "generated and pixel views, combined",
            Estimate(0.891, (0.88, 0.9012)),
            Estimate(0.019, (0.0089, 0.0291), significant=True),
            0.00012,
            1234,
            0.35,
            200.0,
        ),
        ("crop", Estimate(0.87), Estimate(-0.002, (-0.01, 0.006)), 0.62, 5, 0.1, 7200.0),
    ),
    highlight=1,
    tones=("reference", "better", ""),
    breaks=(1,),
    caption="4,000 test images.",
)
CURVES = Curves(
    title="Weight of the views",
    charts=(
        Chart(
            title="combined",
            x_label="alpha",
            y_label="accuracy",
            kind="percent",
            series=(
                Series(name="calibration", x=(0.0, 0.5, 1.0), y=(0.8, 0.9, 0.7), style="dashed"),
                Series(
                    name="test",
                    x=(0.0, 0.5, 1.0),
                    y=(0.81, 0.88, 0.72),
                    low=(0.8, 0.87, 0.71),
                    high=(0.82, 0.89, 0.73),
                ),
            ),
            marks=(Mark(x=0.5, y=0.88, label="chosen"),),
            level=0.81,
        ),
        Chart(
            title="loss",
            series=(
                Series(name="end", x=(0.0, 1.0, 2.0), y=(3.0, 1.0), style="filled"),
                Series(name="start", x=(0.0, 1.0, 2.0), y=(1.0, 3.0), style="steps"),
                Series(name="tasks", x=(1.0,), y=(2.0,), style="points"),
            ),
        ),
    ),
    caption="Alpha was chosen on calibration.",
)
BARS = Bars(
    title="Gains",
    names=("crop", "combined", "reconstruction only"),
    columns=(
        BarColumn(
            label="gain",
            kind="points",
            values=(
                Estimate(-0.002, (-0.01, 0.006)),
                Estimate(0.019, (0.009, 0.029)),
                Estimate(-0.3, (-0.32, -0.28)),
            ),
            level=0.0,
            tones=("", "better", "worse"),
            beyond=(2,),
        ),
        BarColumn(label="neighbours", kind="percent", values=(Estimate(0.8), None, Estimate(0.5))),
    ),
    caption="95 % intervals.",
)


def images(size: int = 8, channels: int = 1) -> Images:
    """Two grids, one of them with a lazy picture."""
    grey = torch.zeros(channels, size, size)
    ramp = torch.linspace(-1, 1, size).expand(channels, size, size)
    return Images(
        title="What the classifier saw",
        grids=(
            Grid(
                title="image 7",
                text="The ensemble put it right.",
                columns=("image", "view", "view"),
                rows=("stylemix fine",),
                pictures=(
                    (
                        Picture(pixels=ramp, caption="shirt 0.91", tone="right"),
                        Picture(pixels=lambda: grey, caption="coat 0.55", tone="wrong"),
                        Picture(pixels=-ramp),
                    ),
                ),
            ),
            Grid(pictures=((Picture(pixels=ramp),),)),
        ),
        caption="Views keep the class.",
        folded=True,
    )


NOTE = Note(title="How to read", text="Gains are paired.\nAlpha is the weight of the views.")


def result(**changes: object) -> Result:
    """The whole."""
    fields: dict[str, object] = {
        "title": "Do views help?",
        "verdict": "Significantly better: 'combined' gains +1.90 points [+0.89, +2.91].",
        "blocks": (TABLE, BARS, CURVES, images(), NOTE),
        "claims": (
            Claim(
                text="views help",
                said="0.5 points",
                measured=Estimate(0.019, (0.009, 0.029)),
                outcome="holds",
                p_value=0.01,
                source="Chai et al. 2021, Fig. 3",
            ),
        ),
        "record": Record(
            command="genviews ensemble --images photos",
            seed=0,
            config={"views": 4, "names": ["a", "b"]},
            seconds={"invert": 12.5},
            skipped=(("bad.png", "truncated"),),
            data={"l1": 0.1},
        ),
        "gates": (
            Gate(
                name="accuracy",
                found="87 % are right.",
                threshold="above 10 %",
                remedy="",
                passed=True,
            ),
            Gate(
                name="pictures",
                found="Most reconstructions are one picture.",
                threshold="at least 5 %",
                remedy="Start elsewhere.",
                passed=False,
                decides=False,
            ),
        ),
    }
    return Result(**{**fields, **changes})
