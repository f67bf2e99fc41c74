"""What is fitted on where the shift is not known, and never of the kind that is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.ensemble.bank import PredictionBank
from genviews.studies.ensembling.calibrated import Asked, Calibrated
from genviews.studies.ensembling.shifts import Shifts


def asked(start: float) -> Asked:
    logits = torch.arange(6.0).view(3, 1, 2) + start
    bank = PredictionBank(
        ids=("a", "b", "c"), labels=torch.tensor([0, 1, 0]), class_names=("one", "two"),
        split="calibration", logits={"image": logits},
    )  # fmt: skip
    return Asked(banks={"images": bank}, loss=torch.arange(3.0) + start)


CALIBRATED = Calibrated(clean=asked(0.0), milds={"fog:1": asked(10.0), "snow:1": asked(20.0)})


@pytest.mark.parametrize("names", [[], ["fog:1"], ["fog:1", "snow:1"]])
def test_clean_images_count_as_often_as_all_copies_together(names):
    bank, loss = CALIBRATED.joined("images", names)
    counts = CALIBRATED.counts(names)
    assert len(bank) == len(loss) == len(counts) == 3 * (1 + len(names))
    assert len(set(bank.ids)) == len(bank)
    if names:
        assert float(counts[:3].sum()) == float(counts[3:].sum())
    for place, start in enumerate([0.0, *(10.0 * (1 + i) for i in range(len(names)))]):
        part = slice(3 * place, 3 * place + 3)
        assert torch.equal(loss[part], torch.arange(3.0) + start)
        assert torch.equal(bank.get("image")[part], torch.arange(6.0).view(3, 1, 2) + start)
        assert torch.equal(bank.known_labels()[part], torch.tensor([0, 1, 0]))


def test_a_shift_is_never_fitted_on_its_own_kind():
    options = replace(
        Shifts(), shifts=("noise:3", "blur:5@imagenet-c", "fog:1"), headlines=(),
        fit_on=("noise:1", "blur:1@imagenet-c"),
    )  # fmt: skip
    assert options.milds("noise:3") == ["gaussian_blur:1@imagenet-c"]
    assert options.milds("blur:5@imagenet-c") == ["gaussian_noise:1"]
    assert options.milds("fog:1") == ["gaussian_noise:1", "gaussian_blur:1@imagenet-c"]
    assert options.milds("clean") == options.milds("fog:1")
    with pytest.raises(ValueError, match="for each shift a mild one of another kind"):
        replace(options, fit_on=("noise:1",)).check()
