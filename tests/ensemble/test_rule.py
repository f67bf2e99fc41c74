"""By what ensembles are fitted: one rule chooses all that calibration decides, everywhere."""

from __future__ import annotations

import pytest
import torch

from genviews.augment.geometry import HorizontalFlip, RandomCrop
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.choose import Chosen, choose_combined
from genviews.ensemble.combine import Method, best_on_calibration, evaluate, ranked
from genviews.ensemble.cutoff import cutoff_grid
from genviews.ensemble.resample import ensemble_size_study, resample_members
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.perturb.stylemix import StyleMix
from genviews.studies.registry import STUDIES

BY_LOSS = EnsembleRule(choose_by="log-loss")
TIMID, SURE = (ViewSet(perturbation=StyleMix(rows)) for rows in ("coarse", "fine"))
FLIP, CROP = ViewSet(pixels=HorizontalFlip(1.0)), ViewSet(pixels=RandomCrop(padding=1))


def bank(split="calibration"):
    """Views that change no answer: by accuracy all are equal, and log-loss likes sure ones."""
    labels = torch.arange(12) % 3
    image = torch.nn.functional.one_hot(labels, 3)[:, None].float()
    strengths = {TIMID.name: 0.5, SURE.name: 3.0, FLIP.name: 1.0, CROP.name: 3.0}
    views = {key: (k * image).expand(-1, 4, -1) for key, k in strengths.items()}
    return PredictionBank(
        ids=tuple(map(str, range(12))),
        labels=labels,
        class_names=("a", "b", "c"),
        split=split,
        logits={"image": image, "reconstruction": image, **views},
    )


def method(key):
    return Method(name=key, group="latent", views=(key,), weighing="alpha")


@pytest.mark.parametrize(
    ("rule", "best", "alpha", "pixels"),
    [(EnsembleRule(), TIMID, 0.0, FLIP), (BY_LOSS, SURE, 1.0, CROP)],
    ids=["accuracy", "log-loss"],
)
def test_scales_rows_combinations_and_cutoffs_are_chosen_by_it(rule, best, alpha, pixels):
    calibration, test = bank(), bank("test")
    first, second = ranked(calibration, [TIMID.name, SURE.name], rule=rule)
    assert (first.views, first.alpha_, second.alpha_) == ((best.name,), alpha, 0.0)
    chosen = Chosen(pixels=(FLIP, CROP), latents={"coarse": TIMID, "fine": SURE})
    combined = choose_combined(chosen, calibration, rule=rule)
    assert (combined.pixels, combined.generated.perturbation) == (pixels, best.perturbation)
    found = [
        evaluate(one, calibration, test, task="images", rule=rule)
        for one in (
            Method(name="single image", group="image"),
            method(TIMID.name),
            method(SURE.name),
        )
    ]
    told = best_on_calibration([one.row for one in found])
    assert told.name == ("single image" if rule.choose_by == "accuracy" else best.name)
    cuts = torch.tensor([-torch.inf, torch.inf])
    grid = cutoff_grid(
        Ensemble(best.name, rule=rule), calibration, torch.ones(12), cuts, scores=True
    )
    assert grid.argmax() == (0 if rule.choose_by == "accuracy" else 2 * 21 - 1)


def test_a_row_tells_its_log_loss_where_that_counts():
    (plain, fine) = (
        evaluate(method(SURE.name), bank(), bank("test"), task="images", rule=rule)
        for rule in (EnsembleRule(), BY_LOSS)
    )
    assert plain.row.calibration_log_loss is None
    assert fine.row.calibration_log_loss == pytest.approx(
        torch.nn.functional.nll_loss(fine.proba.log(), bank().labels).item()
    )


def test_redrawn_ensembles_follow_it():
    ensembles = [Ensemble(SURE.name, rule=rule) for rule in (EnsembleRule(), BY_LOSS)]
    wrong = bank("test")
    wrong.logits[SURE.name] = -wrong.get(SURE.name)  # whoever weighs views is wrong
    drawn = [resample_members(one, bank(), wrong, size=4, times=2) for one in ensembles]
    assert [one.alphas for one in drawn] == [(0.0, 0.0), (1.0, 1.0)]
    sizes = [
        ensemble_size_study(one, bank(), wrong, sizes=(0, 9), times=2)[1].mean for one in ensembles
    ]
    assert sizes == [1.0, 0.0]


def test_every_study_that_chooses_a_weight_takes_it():
    taking = {name for name, one in STUDIES.items() if issubclass(one.options, EnsembleRule)}
    every = {name for name in STUDIES if name.startswith("ensembling/")}
    # What is attacked is one weight, always chosen by log-loss; the gradient is that of its merge.
    assert taking == every - {"ensembling/adaptive"}
