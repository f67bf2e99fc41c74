"""Every abstract class of the package has a suite of laws, or stands within one that has."""

from __future__ import annotations

import re

from genviews import testing
from tests.contracts.complete import ROOT

SUITES = {
    "Aligner": "check_aligner",
    "AnchorViews": "check_anchor_views",
    "Attack": "check_attack",
    "Corruption": "check_corruption",
    "Engine": "check_engine",
    "Generator": "check_generator",
    "ImageSource": "check_source",
    "LatentEncoder": "check_inverter",
    "Objective": "check_loss",
    "Optimizer": "check_inverter",
    "Perturbation": "check_perturbation",
    "PixelViews": "check_pixel_views",
    "Probe": "check_probe",
    "Restoration": "check_restoration",
    "Schedule": "check_schedule",
    "Start": "check_inverter",
    "Term": "check_objective",
}

# What only our own code implements: what perturbations are made from, where work is kept, who
# judges the rows of a study, and the laws that suites share.
INTERNAL = {"Batched", "Judge", "Parts", "Store"}


def test_every_abstract_class_has_a_suite() -> None:
    text = "\n".join(path.read_text() for path in ROOT.rglob("*.py"))
    abstract = {
        name
        for name, bases in re.findall(r"^class (\w+)\(([^)]*)\)", text, re.MULTILINE)
        if re.search(r"\bABC\b", bases)
    }
    assert abstract - INTERNAL == set(SUITES)
    assert set(SUITES.values()) <= set(testing.__all__)
