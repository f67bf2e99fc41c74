"""Weighted nearest neighbours by cosine: the probe without training, which monitors use too.

score_c(x) = sum over the k nearest i of class c of exp(cos(h_x, h_i) / t)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.evaluate.probe import Probe

__all__ = ["KNNProbe"]


class KNNProbe(Probe):
    """Weighted k-nearest-neighbour classifier of features.

    Args:
        neighbours: candidates of k; several need `select` on a validation split.
        temperature: t; 0.07 is what Wu et al. use.

    Raises:
        ValueError: no k or one below 1, a temperature that is not above 0; in `fit`, more
            neighbours than rows.

    Source: Wu et al. 2018, arXiv:1805.01978, Sec. 3.4 (k = 200, t = 0.07).

    Example:
        >>> h = torch.linspace(-1, 1, 40)[:, None]
        >>> y = (h[:, 0] > 0).long()
        >>> KNNProbe((5,)).fit(h, y, split="train").score(h, y, split="test").accuracy
        1.0
    """

    def __init__(
        self, neighbours: Sequence[int] = (20, 50, 100, 200), *, temperature: float = 0.07
    ) -> None:
        if not neighbours or not temperature > 0:
            fail(
                "nearest neighbours",
                expected="at least one k, and a temperature above 0",
                got=f"{neighbours} and {temperature}",
                remedy="try (20, 200) and 0.07",
            )
        self.neighbours = tuple(sorted(check_count(k, "neighbours") for k in neighbours))
        self.temperature = temperature

    def _fit(self, h: Tensor, targets: Tensor) -> Sequence[Mapping[str, float]]:
        if self.neighbours[-1] > len(h):
            fail(
                "neighbours",
                expected=f"at most {len(h)}, the number of rows",
                got=self.neighbours[-1],
                remedy="give fewer neighbours, or more rows",
            )
        self._bank, self._targets = F.normalize(h, dim=1), targets
        return [{"neighbours": float(k)} for k in self.neighbours]

    def _cost_per_row(self) -> int:
        return max(len(self._bank), super()._cost_per_row())

    def _predict(self, h: Tensor, which: Sequence[int]) -> Tensor:
        wanted = [self.neighbours[i] for i in which]
        cosines = F.normalize(h.to(self._bank), dim=1) @ self._bank.T
        near, rows = cosines.topk(max(wanted), dim=1)
        # The largest weight is 1, whatever the temperature, so that none overflows.
        weights = ((near - near[:, :1]) / self.temperature).exp()
        labels = self._targets[rows]
        votes = [
            h.new_zeros(len(h), len(self.classes_), dtype=weights.dtype)
            .to(weights.device)
            .scatter_add_(1, labels[:, :k], weights[:, :k])
            for k in wanted
        ]
        return torch.stack([vote.argmax(1) for vote in votes])
