"""An ensemble as a module: its weight alpha is a buffer, moved, saved and loaded with the rest.

A state says what its alpha was chosen for. Another ensemble does not take it: alpha is no weight of
other views.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genviews.checks import fail
from genviews.described import described_by, parse_object
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.rule import ChooseBy
from genviews.ensemble.weigh import Ensemble
from genviews.identity import Identity, describe

__all__ = ["HeldEnsemble"]


class HeldEnsemble(nn.Module):
    """Holds an ensemble.

    Args:
        ensemble: the rule, with its alpha where that is given.
        settings: what else decides its predictions, but for tensors, which a state has anyway.

    Attributes:
        alpha: buffer, the weight of the views; NaN where nobody gave or chose it.

    Example:
        >>> given = HeldEnsemble(Ensemble("reconstruction", alpha=0.3), {"seed": 0})
        >>> again = HeldEnsemble(Ensemble("reconstruction"), {"seed": 0})
        >>> _ = again.load_state_dict(given.state_dict())
        >>> again.fitted.alpha_
        0.3
    """

    alpha: Tensor

    def __init__(self, ensemble: Ensemble, settings: Mapping[str, object]) -> None:
        super().__init__()
        self._rule = self._known = ensemble
        settings = {**settings, **vars(ensemble.rule)}
        self._settings = {name: describe(part) for name, part in settings.items()}
        alpha = torch.nan if ensemble.alpha is None else float(ensemble.alpha)
        self.register_buffer("alpha", torch.tensor(alpha))

    def check_fitting(self) -> None:
        """Raise ValueError where alpha was given, and so is not to be chosen."""
        self._rule.check_fitting()

    def fit(self, bank: PredictionBank, *, choose_by: ChooseBy | None = None) -> None:
        """Choose alpha on a calibration bank, see `Ensemble.fit`.

        Args:
            bank: of calibration images.
            choose_by: what it is chosen by; None takes that of the rule.
        """
        chosen = copy(self._rule)
        if choose_by is not None:
            chosen.rule = replace(chosen.rule, choose_by=choose_by)
        self._known = chosen.fit(bank)
        self.alpha = self.alpha.new_tensor(self._known.alpha_)

    @property
    def fitted(self) -> Ensemble:
        """The ensemble with its alpha, chosen by `fit`, loaded or given.

        Raises:
            ValueError: before any of them.
        """
        alpha = round(float(self.alpha), 6)  # float32 holds seven digits
        if alpha != alpha:
            expected, got = "`fit` first", "predict_proba before fit"
            remedy = "call fit(images, labels), load a state_dict, or give alpha"
            fail("GenerativeTTA", expected=expected, got=got, remedy=remedy)
        if abs(getattr(self._known, "alpha_", torch.nan) - alpha) < 1e-6:
            return self._known
        loaded = copy(self._rule)
        loaded.alpha_ = alpha
        return loaded

    def get_extra_state(self) -> Tensor:
        """Return what alpha was chosen for, as bytes, so that any file of tensors can hold it."""
        text = json.dumps(self._settings).encode()
        return torch.frombuffer(bytearray(text), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:  # noqa: ANN401  (what a file had)
        """Raise ValueError unless alpha was chosen for this."""
        what, remedy = (
            "state of a GenerativeTTA",
            "make it with the settings of then, or fit it anew",
        )
        with described_by(what, "what state_dict() gave"):
            kept = Identity(parse_object(bytes(state.tolist()).decode(), what))
        Identity(self._settings).check(kept, what, remedy)

    # The signature is torch's own, and of no fixed length.
    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:  # noqa: ANN401
        """As for any module; but nothing is taken of a state that does not fit."""
        if (kept := state.get(f"{prefix}_extra_state")) is not None:
            self.set_extra_state(kept)
        super()._load_from_state_dict(state, prefix, *rest)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HeldEnsemble:
        """As for any module; but alpha keeps its digits where `.half()` would round them."""
        alpha = self.alpha
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        self.alpha = alpha.to(self.alpha.device)
        return self
