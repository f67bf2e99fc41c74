"""What an experiment is: a question, what it needs, its options, and a function that answers it.

    STUDY, BENCH, OPTIONS -> run -> RESULT -> page, tables, record in a RUN FOLDER

A study is one file with `STUDY = Study(...)` and one line in `genviews.studies.registry`. All else
(input flags, help, resuming, refusing another run's folder, page, terminal, CSV, Markdown, the
contract test) follows from it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from genviews.checks import check_type, expanded
from genviews.data.kept_hashes import save_hashes
from genviews.identity import identify
from genviews.report.output import check_output_dir, write_result
from genviews.studies.gates import gates_of_copies, gates_of_inputs, gates_of_inversions
from genviews.studies.options import Options
from genviews.studies.result import Result
from genviews.studies.run_folder import WORK, RunFolder

if TYPE_CHECKING:
    from genviews.kit import GeneratorKit
    from genviews.studies.bench import Bench

__all__ = ["WORK", "Need", "Options", "Study", "check_study_inputs", "run_study"]


class Need(Enum):
    """An input that a study works with; the value says in words what it is."""

    KIT = "a generator"
    CLASSIFIER = "a classifier"
    SPLITS = "labelled images, a calibration and a test split"
    REAL = "real images to learn from"
    PROBES = "labelled images in train, val and test, to judge encoders on"
    VOC = "PASCAL VOC, to judge encoders on as well"
    IMAGES = "images to invert"
    ENCODER = "an encoder"


AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(frozen=True)
class Study(Generic[AnyOptions]):
    """An experiment.

    Args:
        name: "ensembling/fig6": the arrow, then the figure, table or question.
        run: answers it from a bench and options.
        options: their class.
        needs: inputs that it cannot do without.
        uses: inputs that it takes where they are given.
        source: paper and figure, or "ours".
        reported: what the source says came out.
        minutes: on two cores with the embedded generator and default options.
        about: one sentence; "" takes the first line of the module that `run` is in.
        products: files or subfolders that it leaves in the run folder itself; a run is finished
            when they are there.
        keeps_work: whether the work stays when the result is there, for runs of more of it.
        check: refuses options that a generator, or None, does not allow; asked before images are
            read.
    """

    name: str
    run: Callable[[Bench, AnyOptions], Result]
    options: type[AnyOptions]
    needs: tuple[Need, ...] = (Need.KIT, Need.CLASSIFIER, Need.SPLITS)
    uses: tuple[Need, ...] = ()
    source: str = "ours"
    reported: str = ""
    minutes: float = 1.0
    about: str = ""
    products: tuple[str, ...] = ()
    keeps_work: bool = True
    check: Callable[[GeneratorKit | None, AnyOptions], object] = lambda kit, options: None

    @property
    def summary(self) -> str:
        """What it asks, in one sentence."""
        module = sys.modules[getattr(self.run, "__module__", __name__)]
        return self.about or (module.__doc__ or "").strip().partition("\n")[0]

    @property
    def inputs(self) -> tuple[Need, ...]:
        """What it needs and uses, in the order of `Need`."""
        return tuple(need for need in Need if need in (*self.needs, *self.uses))


def run_study(
    study: Study[Any],
    bench: Bench,
    options: Options,
    folder: str | Path,
    *,
    command: str = "",
    force: bool = False,
    clock: Callable[[], Mapping[str, float]] | None = None,
) -> Result:
    """Run a study into a folder, or read what it came to where it is finished.

    What takes long is kept in `work` of the folder, so that a killed run goes on. Which results a
    folder holds is known by its identity: study, options, and all that the bench holds.

    Args:
        study: the study.
        bench: with what it needs.
        options: of the study's class.
        folder: of the run; made if missing.
        command: that asks for it.
        force: begin anew, see `RunFolder.claimed`; work that lies elsewhere stays.
        clock: stages and their seconds so far; None takes the whole as one stage.

    Returns:
        The result; without pictures where it was finished before.

    Raises:
        ValueError: options out of range, an input that is missing, or a folder of another study,
            options or inputs.
        OSError: the folder cannot be written.
        TypeError: options of another study.
    """
    if not force:
        before = RunFolder(expanded(folder), study.products)
        before.check_known(study.name, options, bench.seed, bench.inputs.kit)
    check_study_inputs(study, bench, options)
    place = check_output_dir(folder)
    run_folder = RunFolder(place, study.products)
    with run_folder.claimed(identify(study=study.name, options=options, inputs=bench), anew=force):
        settings = _settings(study, bench, options)
        known = Result.load(place) if run_folder.is_complete else None
        if known is not None and dict(known.record.config) == settings:
            return known
        save_hashes()
        own = bench.at(place)
        bench.note("load")
        gates = gates_of_copies(own.inputs.labelled(), bench.progress)
        gates = (*gates, *gates_of_inputs(own))
        bench.note("check")
        for gate in gates:
            if not gate.passed:
                bench.tell(f"not to be trusted: {gate.text}")  # now, and not after hours
        began = time.perf_counter()
        found = study.run(own, options)
        gates = (*gates, *gates_of_inversions(own))
        spent = {"study": time.perf_counter() - began} if clock is None else dict(clock())
        notes = bench.inputs.notes
        record = replace(
            found.record,
            command=command or found.record.command,
            config=settings,
            seconds=found.record.seconds or spent,
            data={**found.record.data, **({"notes": list(notes)} if notes else {})},
        )
        result = replace(found, record=record).behind(gates)
        write_result(result, place)
        save_hashes()  # of what the study itself has read, such as photos of VOC
        if not study.keeps_work:
            shutil.rmtree(place / WORK, ignore_errors=True)
    return result


def check_study_inputs(study: Study[Any], bench: Bench, options: Options) -> None:
    """Raise for what can be refused in a second.

    Raises:
        ValueError: options out of range, or an input that is missing.
        TypeError: options of another study.
    """
    what, kind = f"options of {study.name}", study.options
    check_type(options, kind, what, kind.__name__, "take those of the study")
    options.check()
    bench.check(study)
    study.check(bench.inputs.kit, options)


def _settings(study: Study[Any], bench: Bench, options: Options) -> dict[str, Any]:
    """What a finished result is known by, beside the identity of its folder."""
    found = {
        "study": study.name,
        "options": asdict(options),
        "seed": bench.seed,
        **{judge.name: judge.facts() for judge in bench.inputs.judges},
    }
    return dict(json.loads(json.dumps(found, default=str)))
