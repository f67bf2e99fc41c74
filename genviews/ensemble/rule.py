"""By what an ensemble is fitted: how predictions become one, and what is best on calibration.

A field here is all that a further choice takes: it is an option of every study that fits ensembles,
and so a flag, a part of what a run is known by, and a line of its results. Nothing heavy is
imported, since the same fields are flags.
"""

# Types are objects here and not text, so that classes in other modules inherit fields as they are.
from dataclasses import dataclass, fields
from typing import Literal, get_args

from genviews.checks import lookup

__all__ = ["ChooseBy", "EnsembleRule", "MergeName"]

MergeName = Literal["mean", "gmean", "tsharpen", "max"]
ChooseBy = Literal["accuracy", "log-loss"]


@dataclass(frozen=True, kw_only=True)
class EnsembleRule:
    """The rule.

    Args:
        merge: What becomes of the predictions for an image's views: mean (of probabilities, the
            reference code), gmean (of logits, the paper's formula), tsharpen or max.
        choose_by: By what alpha, and all else that calibration decides, is chosen: accuracy, as in
            the paper, or log-loss, which tells weights apart where there are few images.

    Raises:
        ValueError: an unknown word; the closest are listed.
    """

    merge: MergeName = "mean"
    choose_by: ChooseBy = "accuracy"

    def __post_init__(self) -> None:
        for field in fields(EnsembleRule):
            word = getattr(self, field.name)
            lookup(word, dict.fromkeys(get_args(field.type)), field.name)

    @property
    def by_log_loss(self) -> bool:
        """Whether log-loss chooses, and not accuracy."""
        return self.choose_by == "log-loss"

    @property
    def rule(self) -> "EnsembleRule":
        """The rule alone, of options that have more fields."""
        return EnsembleRule(
            **{field.name: getattr(self, field.name) for field in fields(EnsembleRule)}
        )
