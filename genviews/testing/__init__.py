"""Contract suites: what every implementation of a protocol must do, runnable on your own.

A suite is a tuple of named laws, each a function of the implementation, and one function that
checks them all. A test of your own class is three lines:

    from genviews.testing import check_perturbation

    def test_my_perturbation_keeps_the_contract():
        check_perturbation(MyPerturbation("fine", 0.3), ToyGenerator())

It raises AssertionError, and the message begins with the law that is broken.
"""

from genviews.testing.aligners import ALIGNER_CHECKS, check_aligner
from genviews.testing.anchors import ANCHOR_VIEWS_CHECKS, check_anchor_views
from genviews.testing.engines import ENGINE_CHECKS, check_engine
from genviews.testing.generators import GENERATOR_CHECKS, check_generator
from genviews.testing.inverters import INVERTER_CHECKS, check_inverter, images_to_invert
from genviews.testing.losses import LOSS_CHECKS, LossInputs, check_loss
from genviews.testing.objectives import OBJECTIVE_CHECKS, check_objective
from genviews.testing.perturbations import PERTURBATION_CHECKS, check_perturbation
from genviews.testing.pixels import PIXEL_VIEWS_CHECKS, check_pixel_views
from genviews.testing.probes import PROBE_CHECKS, check_probe
from genviews.testing.schedules import SCHEDULE_CHECKS, check_schedule
from genviews.testing.sources import SOURCE_CHECKS, check_source
from genviews.testing.studies import STUDY_CHECKS, check_study, toy_inputs

__all__ = [
    "ALIGNER_CHECKS",
    "ANCHOR_VIEWS_CHECKS",
    "ENGINE_CHECKS",
    "GENERATOR_CHECKS",
    "INVERTER_CHECKS",
    "LOSS_CHECKS",
    "OBJECTIVE_CHECKS",
    "PERTURBATION_CHECKS",
    "PIXEL_VIEWS_CHECKS",
    "PROBE_CHECKS",
    "SCHEDULE_CHECKS",
    "SOURCE_CHECKS",
    "LossInputs",
    "STUDY_CHECKS",
    "check_aligner",
    "check_anchor_views",
    "check_engine",
    "check_generator",
    "check_inverter",
    "check_loss",
    "check_objective",
    "check_perturbation",
    "check_pixel_views",
    "check_probe",
    "check_schedule",
    "check_source",
    "check_study",
    "images_to_invert",
    "toy_inputs",
]
