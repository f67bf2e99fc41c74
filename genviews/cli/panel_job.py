"""The work of `genviews study figure4` and its like: load, choose the kinds, render, draw."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genviews.checks import fail
from genviews.cli.device import find_device
from genviews.cli.learn_options import (
    SHOWN,
    LearnInputs,
    TableName,
    TableOptions,
    TrainingOptions,
)
from genviews.cli.learn_setting import check_walks, load_kit, load_setting
from genviews.cli.learning_job import table_rows
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages
from genviews.cli.run import Claim
from genviews.environment import versions
from genviews.kit import GeneratorKit
from genviews.memory import keep_freed_memory
from genviews.studies.learning.panels import view_panel
from genviews.studies.learning.result import PanelResult
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.tables import PANELS, Panel

__all__ = ["PanelJob"]

SEED = 0  # of T_x; that of the samples is the setting's


@dataclass(frozen=True, kw_only=True)
class PanelJob:
    """A panel of views, as the flags describe it.

    Args:
        figure: a key of `PANELS`.
        inputs: the generator and its walks.
        options: which kinds and samples, how strong views are.
        training: the pixel views.
        flags: device, batch size.
        config: the resolved options, kept with the result.
        command: that asks for it.
    """

    figure: TableName
    inputs: LearnInputs
    options: TableOptions
    training: TrainingOptions
    flags: RunOptions
    config: Mapping[str, Any]
    command: str

    def run(self, stages: Stages, claim: Claim) -> PanelResult:
        """Do the work and tell its progress.

        Raises:
            ValueError: a generator that has no classes where these are needed, or views that it
                cannot have.
        """
        keep_freed_memory()
        panel, kit = PANELS[self.figure], load_kit(self.inputs)
        assert kit is not None  # the flags were checked
        self._check_classes(panel, kit)
        rows, left_out = table_rows(panel.rows, self.options, kit)
        setting = self._setting(panel, kit)
        check_walks(rows, setting)
        stages.note("load")
        claim(setting=setting.parts)
        samples = self.options.show or SHOWN
        picture = view_panel(rows, setting, samples=samples, views=panel.views, seed=SEED)
        stages.note("render views")
        shown: dict[str, Any] = {
            "generator": str(self.inputs.generator),
            "samples": samples,
            "views": panel.views,
            "rows": tuple(
                {name: asdict(row)[name] for name in ("name", "views", "space")} for row in rows
            ),
            "pixels": None if setting.pixels is None else repr(setting.pixels),
            "seed": setting.views_seed,
        }
        return PanelResult(
            name=self.figure,
            picture=_png(picture, {"figure": self.figure, **shown, "command": self.command}),
            command=self.command,
            config=self.config,
            left_out=left_out,
            seconds=dict(stages.seconds),
            versions=versions(),
            **shown,
        )

    def _setting(self, panel: Panel, kit: GeneratorKit) -> LearningSetting:
        loaded = load_setting(
            self.inputs,
            self.training,
            find_device(self.flags.device),
            batch_size=self.flags.batch_size,
            kit=kit,
        ).setting
        return loaded if panel.pixels else replace(loaded, pixels=None)

    def _check_classes(self, panel: Panel, kit: GeneratorKit) -> None:
        classes = kit.generator.num_classes
        if panel.classes and classes < 2:
            fail(
                f"generator of {self.figure}",
                expected="a class-conditional one",
                got=f"{self.inputs.generator}, which has no classes",
                remedy="name one, such as fashion32-classes, or take figure4 or figure10",
            )


def _png(picture: Image.Image, shown: Mapping[str, Any]) -> bytes:
    """The picture as a file that says in its text chunks what it shows."""
    text, out = PngInfo(), io.BytesIO()
    for name, value in shown.items():
        text.add_text(name, value if isinstance(value, str) else json.dumps(value))
    picture.save(out, "PNG", optimize=True, pnginfo=text)
    return out.getvalue()
