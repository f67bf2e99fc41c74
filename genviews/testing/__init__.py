"""Contract suites: what every implementation of a protocol must do, runnable on your own.

A suite is a tuple of named laws, each a function of the implementation, and one function that
checks them all. A test of your own class is three lines:

    from genviews.testing import check_perturbation

    def test_my_perturbation_keeps_the_contract():
        check_perturbation(MyPerturbation("fine", 0.3), ToyGenerator())

It raises AssertionError, and the message begins with the law that is broken.
"""

from genviews.testing.attacks import ATTACK_CHECKS, check_attack
from genviews.testing.data import ALIGNER_CHECKS, SOURCE_CHECKS, check_aligner, check_source
from genviews.testing.generators import GENERATOR_CHECKS, check_generator
from genviews.testing.inversion import (
    INVERTER_CHECKS,
    OBJECTIVE_CHECKS,
    check_inverter,
    check_objective,
    images_to_invert,
)
from genviews.testing.learning import (
    LOSS_CHECKS,
    PROBE_CHECKS,
    SCHEDULE_CHECKS,
    LossInputs,
    check_loss,
    check_probe,
    check_schedule,
)
from genviews.testing.robustness import (
    CORRUPTION_CHECKS,
    RESTORATION_CHECKS,
    check_corruption,
    check_restoration,
)
from genviews.testing.studies import (
    ENGINE_CHECKS,
    STUDY_CHECKS,
    check_engine,
    check_study,
    toy_inputs,
)
from genviews.testing.views import (
    ANCHOR_VIEWS_CHECKS,
    PERTURBATION_CHECKS,
    PIXEL_VIEWS_CHECKS,
    check_anchor_views,
    check_perturbation,
    check_pixel_views,
)

__all__ = [
    "ALIGNER_CHECKS",
    "ANCHOR_VIEWS_CHECKS",
    "ATTACK_CHECKS",
    "CORRUPTION_CHECKS",
    "ENGINE_CHECKS",
    "GENERATOR_CHECKS",
    "INVERTER_CHECKS",
    "LOSS_CHECKS",
    "OBJECTIVE_CHECKS",
    "PERTURBATION_CHECKS",
    "PIXEL_VIEWS_CHECKS",
    "PROBE_CHECKS",
    "RESTORATION_CHECKS",
    "SCHEDULE_CHECKS",
    "SOURCE_CHECKS",
    "LossInputs",
    "STUDY_CHECKS",
    "check_aligner",
    "check_anchor_views",
    "check_attack",
    "check_corruption",
    "check_engine",
    "check_generator",
    "check_inverter",
    "check_loss",
    "check_objective",
    "check_perturbation",
    "check_pixel_views",
    "check_probe",
    "check_restoration",
    "check_schedule",
    "check_source",
    "check_study",
    "images_to_invert",
    "toy_inputs",
]
