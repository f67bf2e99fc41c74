"""What a study found: a verdict, blocks of evidence, claims weighed, and the record of the run.

    Study -> run -> Result -> report: page, terminal, CSV, Markdown

All but the pictures goes to JSON and comes back, so that every number that is quoted can be traced
to a seed, a config and a command, and shown again without being computed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from genviews.checks import fail
from genviews.environment import versions
from genviews.files import read_json, write_json
from genviews.gates.gate import Gate
from genviews.studies.blocks import Block, Estimate, Kind, Note, Table, Tone, unmarked

__all__ = ["NO_VERDICT", "RESULT_FILE", "Claim", "Outcome", "Record", "Result"]

RESULT_FILE = "results.json"
"""Name of a result's record in its folder; a folder that has it is finished."""

Outcome = Literal["holds", "contradicted", "not seen", "not judged"]
"""Of a claim: the interval says yes; the opposite; it allows both; a gate that decides is shut."""

NO_VERDICT = "No verdict: "
"""How a verdict begins that is not given."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What somebody says, and what was measured here.

    Args:
        text: the claim, as a sentence.
        said: the figures of its source; "" where there are none.
        measured: ours.
        kind: of what was measured.
        outcome: what ours says of it.
        p_value: corrected for the number of claims weighed together; None where nothing was tested.
        source: paper and figure; "" for a hypothesis of our own.
    """

    text: str
    said: str = ""
    measured: Estimate
    kind: Kind = "points"
    outcome: Outcome
    p_value: float | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """How a result was made.

    Args:
        command: that makes it again.
        seed: of all that was drawn; None where nothing was.
        config: the resolved options, as JSON values.
        seconds: stage -> its duration.
        skipped: (file, reason) of what was left out.
        images: role -> what images had it, such as "24 images of faces (test)".
        versions: of Python and packages; this process's unless given.
        data: further numbers as JSON values, for whoever computes with the result.
    """

    command: str = ""
    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a study.

    Args:
        title: the question, or what is shown.
        verdict: the answer, in a sentence or two.
        blocks: the evidence, the table that the verdict is read from first.
        claims: what papers or hypotheses say, weighed.
        record: how it was made.
        gates: what must hold before the verdict means anything.
        tone: of the verdict: "better", "worse", "" where no difference was seen; None where nothing
            is judged.

    Example:
        >>> import tempfile
        >>> found = Result(title="Half", verdict="It is 0.5.", record=Record(command="halve"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found.save(folder)
        ...     Result.load(folder) == found
        True
    """

    title: str
    verdict: str
    blocks: tuple[Block, ...] = ()
    claims: tuple[Claim, ...] = ()
    record: Record = field(default_factory=Record)
    gates: tuple[Gate, ...] = ()
    tone: Tone | None = None

    @property
    def shut(self) -> tuple[Gate, ...]:
        """The gates that do not hold, which are shown above all else."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def is_withheld(self) -> bool:
        """Whether the verdict is not given, because a gate that it rests on does not hold."""
        return any(gate.decides for gate in self.shut)

    @property
    def alarm(self) -> str:
        """What is said above a result with gates that do not hold; "" where all do."""
        word = "Not to be trusted" if self.is_withheld else "Beware"
        counts = f"{len(self.shut)} of {len(self.gates)} checks failed"
        return f"{word}: {counts}" if self.shut else ""

    def behind(self, gates: Sequence[Gate]) -> Result:
        """The same behind further gates, without a verdict where one that decides does not hold.

        What is worth a note of those that hold is one below the evidence.

        What was measured stays. What is said of it goes: the verdict (kept in the record's data as
        `verdict_withheld`), outcomes of claims, and marks of significance.
        """
        notes = (Note(text=gate.found) for gate in gates if gate.passed and gate.noted)
        found = replace(self, gates=(*gates, *self.gates), blocks=(*self.blocks, *notes))
        if not found.is_withheld or self.verdict.startswith(NO_VERDICT):
            return found
        data = {**self.record.data, "verdict_withheld": self.verdict}
        return replace(
            found,
            verdict=f"{NO_VERDICT}what it would rest on failed the checks above. The numbers below "
            "were measured, but say nothing until that is mended.",
            tone=None,
            blocks=tuple(unmarked(block) for block in found.blocks),
            claims=tuple(replace(claim, outcome="not judged") for claim in self.claims),
            record=replace(self.record, data=data),
        )

    @property
    def answer(self) -> Table | None:
        """The table that the verdict is read from: the first that is not folded away."""
        tables = [block for block in self.blocks if isinstance(block, Table)]
        return next((table for table in tables if not table.folded), None)

    def to_json(self) -> dict[str, Any]:
        """All but the pixels of pictures as JSON values.

        Raises:
            ValueError: a number that is NaN or infinite; its place is named.
            TypeError: a value that JSON does not know, such as a tensor.
        """
        plain: dict[str, Any] = _plain(self, "")
        for block, kept in zip(self.blocks, plain["blocks"], strict=True):
            kept["block"] = type(block).__name__
        return plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Result:
        """Rebuild what `to_json` returned; pictures come back without pixels.

        Raises:
            ValueError: another kind of record.
        """
        try:
            found: Result = _read(Result, dict(data))
        except (KeyError, TypeError, AttributeError) as error:
            fail(
                "record of a result",
                expected="what `Result.to_json` returns",
                got=f"something else ({error})",
                remedy="run the study again",
            )
        return found

    def save(self, folder: str | Path) -> None:
        """Write the record as `results.json` into a folder, atomically.

        Raises:
            ValueError, TypeError: as for `to_json`; an existing file is left as it was.
        """
        write_json(Path(folder) / RESULT_FILE, self.to_json())

    @staticmethod
    def load(path: str | Path) -> Result:
        """Read what `save` wrote.

        Args:
            path: the folder, or a file of another name with such a record.

        Raises:
            FileNotFoundError: no such file.
            ValueError: another kind of file.
        """
        place = Path(path)
        return Result.from_json(read_json(place / RESULT_FILE if place.is_dir() else place))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(hint: Any, value: Any) -> Any:  # noqa: ANN401 (one of many classes, from JSON)
    """A value of a type from JSON: lists become tuples, dictionaries the class that has them."""
    parts = get_args(hint)
    if isinstance(value, list):
        return tuple(_read(parts[0], part) for part in value)
    if not isinstance(value, dict) or get_origin(hint) is Mapping:
        return value
    classes = (kind for kind in parts or (hint,) if isinstance(kind, type) and is_dataclass(kind))
    kinds: dict[str, Any] = {kind.__name__: kind for kind in classes}
    kind = kinds[value["block"]] if "block" in value else next(iter(kinds.values()))
    own = {name: part for name, part in value.items() if name != "block"}
    return kind(**{name: _read(_hints(kind)[name], part) for name, part in own.items()})


def _plain(value: object, where: str) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    """The value in JSON's own types; `where` is its path, for messages."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = [f.name for f in fields(value) if f.name != "pixels"]
        value = {name: getattr(value, name) for name in kept}
    if isinstance(value, Mapping):
        return {str(key): _plain(part, f"{where}.{key}".lstrip(".")) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{where}[{i}]") for i, part in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        fail(
            f"result, {where}",
            expected="a finite number",
            got=value,
            remedy="find the image or setting it comes from; JSON has no NaN",
        )
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    fail(
        f"result, {where}",
        expected="text, numbers, lists and dictionaries",
        got=type(value).__name__,
        remedy="convert tensors with `.tolist()`",
        error=TypeError,
    )
