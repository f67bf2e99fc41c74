"""Attack a defence without and with knowledge of it, and ask whether the verdict may be believed.

The defence rounds pixels to a few grey levels before it classifies. Rounding has no gradient, so an
attack that follows the gradient finds next to nothing, and the defence looks robust. Who knows of
the rounding takes it for the identity on the way back, and the defence is none.

Run: python examples/attack_a_defence.py
"""

from __future__ import annotations

from torch import Tensor

from genviews.robustness.adaptive import AdaptiveAttack, view_streams
from genviews.robustness.defence import Preprocessed, Undefended
from genviews.robustness.gradient import PGD
from genviews.robustness.masking import MaskingReport, check_masking
from genviews.zoo import zoo_classifier, zoo_images


def rounded(images: Tensor) -> Tensor:
    """Grey levels a quarter apart."""
    return (images * 4).round() / 4


def main(images: int = 50, steps: int = 20, budget: float = 0.1) -> dict[str, MaskingReport]:
    """Print both verdicts, and return them by the attacker's knowledge."""
    test, classifier = zoo_images("fashion32", "test"), zoo_classifier("fashion32")
    some = test.select(range(0, len(test), len(test) // images))
    attack = AdaptiveAttack(attack=PGD(budget, steps=steps))
    found = {}
    for knows, through in {"knows nothing": "own", "knows of the rounding": "identity"}.items():
        defence = Preprocessed(model=classifier, process=rounded, through=through)
        found[knows] = check_masking(
            defence,
            some.images,
            some.labels,
            view_streams(some.ids),
            attack,
            transfer_from=Undefended(model=classifier),
        )
        report = found[knows]
        at = report.accuracy[report.budgets.index(budget)]
        print(f"An attack that {knows} leaves {at:.0%} of images right, of {report.clean:.0%}.")
        print(f"  {report.words}")
    return found


if __name__ == "__main__":
    main()
