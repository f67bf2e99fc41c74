"""Gates of a classifier's answers: what each closes on, and what leaves it open."""

from __future__ import annotations

from itertools import permutations
from math import comb

import pytest
import torch

from genviews.gates.answers import (
    accuracy_gate,
    answers_gate,
    classes_gate,
    order_gate,
    prediction_gates,
    probability_gate,
)
from genviews.gates.gate import GateWarning, sign_test
from genviews.gates.views import class_gate, drawn_gate
from genviews.invert.inverter import Inverter
from genviews.pipeline import GenerativeTTA
from tests.problem import toy_problem

NAMES = ("a", "b", "c")


def answers(right: float, count: int = 120, classes: int = 3, seed: int = 0):
    """Labels in turn, and answers of which this part is right; wrong ones are any other class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    moved = torch.randint(1, classes, (count,), generator=random)
    wrong = torch.rand(count, generator=random) >= right
    return torch.where(wrong, (labels + moved) % classes, labels), labels


def shut(gates):
    return [gate.name for gate in gates if not gate.passed]


def logits(said, classes=3):
    return torch.nn.functional.one_hot(said, classes).float() * 4 - 2


class TestAccuracy:
    @pytest.mark.parametrize(("hits", "count"), [(10, 24), (16, 80), (40, 300), (3, 24)])
    def test_two_classes_against_naive_tails(self, hits, count):
        """Balanced labels and answers: guessing is 1/2, a useful classifier at 0.6."""
        labels = torch.arange(count) % 2
        said = labels.clone()
        wrong = torch.arange(count) >= hits
        said[wrong] = 1 - said[wrong]

        def tail(places, p):
            return sum(comb(count, k) * p**k * (1 - p) ** (count - k) for k in places)

        share = said.double().mean()
        guess = float(share / 2 + (1 - share) / 2)
        weak = tail(range(hits + 1), guess + 0.2 * (1 - guess)) < 0.001
        informed = tail(range(hits, count + 1), guess) < 0.05
        # Always naming "0" is right for all of its images, the classifier for those it says.
        better, worse = int(((labels == 0) & wrong).sum()), int(((labels == 1) & ~wrong).sum())
        changed = better + worse
        below = sum(comb(changed, k) for k in range(better, changed + 1)) / 2**changed < 0.001
        assert accuracy_gate(said, labels, 2).passed is not ((weak and not informed) or below)

    def test_correct_and_weak_or_few(self):
        assert accuracy_gate(*answers(0.45, 300), 3).passed  # guessing is right for a third
        assert accuracy_gate(*answers(0.2, 6), 3).passed

    def test_guessing(self):
        gate = accuracy_gate(*answers(1 / 3, 300), 3)
        assert not gate.passed
        assert "of 300 calibration images; guessing is right for 33." in gate.found
        assert "exact tests" in gate.threshold

    def test_below_the_most_frequent_class(self):
        """Better than guessing, and yet always naming one class is right more often."""
        labels = (torch.arange(500) % 10 == 0).long()
        said = labels.clone()
        said[1:400:3] = 1  # a quarter is wrong
        gate = accuracy_gate(said, labels, 2)
        assert not gate.passed
        assert "always naming the most frequent class for 90.0 %" in gate.found

    @pytest.mark.parametrize("count", [1, 2, 4, 10, 30, 100])
    def test_a_slip_among_images_of_one_class(self, count):
        """Of a rare class few images have none: naming the other is then always right."""
        labels = torch.zeros(count, dtype=torch.long)
        said = labels.clone()
        said[0] = 1
        assert accuracy_gate(said, labels, 2).passed

    @pytest.mark.parametrize("share", [0.9, 0.97])
    def test_skewed_classes_rarely_close_it(self, share):
        """A classifier that beats naming the most frequent class, on few and on many images."""
        random = torch.Generator().manual_seed(0)
        closed = 0
        for count in (4, 10, 30, 100) * 25:
            labels = (torch.rand(count, generator=random) > share).long()
            wrong = torch.rand(count, generator=random) < (1 - share) / 2
            closed += not accuracy_gate(labels ^ wrong.long(), labels, 2).passed
        assert closed == 0


class TestOrder:
    @pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
    def test_any_other_order_is_named(self, order):
        said, labels = answers(0.8)
        gate = order_gate(torch.tensor(order)[said], labels, NAMES)
        assert not gate.passed
        places = [order.index(place) for place in range(3)]
        assert gate.remedy.endswith(f"fit the order {', '.join(NAMES[p] for p in places)}.")

    def test_two_of_many_classes(self):
        said, labels = answers(0.9, 1000, 50)
        names = tuple(f"class {index}" for index in range(50))
        assert order_gate(said, labels, names).passed
        swapped = said.clone()
        swapped[said == 10], swapped[said == 2] = 2, 10
        gate = order_gate(swapped, labels, names)
        assert not gate.passed
        assert "the answer 'class 2' is 'class 10', 'class 10' is 'class 2'" in gate.found

    def test_a_confusion_of_weak_answers_is_no_order(self):
        """Half of a's are called b, and the reverse: exchanged, no fewer are wrong."""
        labels = torch.arange(400) % 2
        said = torch.where(torch.arange(400) % 20 < 11, 1 - labels, labels)
        assert order_gate(said, labels, ("a", "b")).passed

    def test_choosing_among_all_orders_proves_nothing(self):
        """Random answers: some order always fits them better, on the images it was chosen on."""
        for seed in range(40):
            said, labels = answers(1 / 10, 60, 10, seed)
            assert order_gate(said, labels, tuple("abcdefghij")).passed

    def test_a_class_without_images_or_answers(self):
        said, labels = answers(0.9, 60, 2)
        assert order_gate(said, labels, NAMES).passed
        assert not order_gate(1 - said, labels, NAMES).passed

    def test_sorted_images_are_halved_by_class(self):
        said, labels = answers(0.8)
        order = labels.argsort()
        assert not order_gate((said[order] + 1) % 3, labels[order], NAMES).passed


class TestClasses:
    @pytest.mark.parametrize(
        ("calibration", "test", "shown"),
        [
            ([0] * 30, [0, 1] * 15, "All 30 calibration images are 'a'."),
            ([0, 1] * 15, [2] * 9, "No class of the test images is among calibration."),
            ([0, 1] * 15, [1] * 30, "All 30 test images are 'b'."),
            ([1] * 3, [1] * 2, "All images are 'b'."),
        ],
    )
    def test_what_no_deal_of_the_images_explains(self, calibration, test, shown):
        gate = classes_gate(torch.tensor(calibration), torch.tensor(test), NAMES)
        assert (gate.passed, gate.found) == (False, shown)

    @pytest.mark.parametrize(
        ("calibration", "test"),
        [([0, 0, 0, 0], [0, 0, 0, 1]), ([0], [1]), ([0, 1], [2, 2]), ([0, 1, 2] * 9, [2, 1])],
    )
    def test_few_images(self, calibration, test):
        assert classes_gate(torch.tensor(calibration), torch.tensor(test), NAMES).passed


class TestOneAnswer:
    def test_one_class_for_all(self):
        labels = torch.arange(60) % 3
        gate = answers_gate(torch.ones_like(labels), labels, NAMES)
        assert not gate.passed
        assert gate.found == ("The classifier calls 60 of 60 calibration images 'b'; 33.3 % are.")

    def test_few_images_all_called_what_none_is(self):
        for count in (1, 2, 4):
            labels = torch.arange(count) % 2
            one = torch.full((count,), 2)
            found = [answers_gate(one, labels, NAMES), class_gate(labels, one, NAMES)]
            assert shut(gate for gate in found if gate is not None) == []

    @pytest.mark.parametrize(("rare", "count"), [(0.08, 150), (0.2, 54), (0.05, 400)])
    def test_a_weak_classifier_seldom_names_a_rare_class(self, rare, count):
        """It names a quarter of a rare class: fewer than 1 in 100 such sets close it."""
        random, closed = torch.Generator().manual_seed(0), 0
        for _ in range(200):
            labels = (torch.rand(count, generator=random) < rare).long()
            said = labels * (torch.rand(count, generator=random) < 0.25).long()
            gate = answers_gate(said, labels, ("rest", "rare"))
            closed += gate is not None and not gate.passed
        assert closed <= 2
        assert not answers_gate(torch.zeros(66).long(), torch.arange(66) % 2, NAMES).passed

    def test_a_frequent_class(self):
        labels = (torch.arange(60) % 15 == 0).long()
        assert answers_gate(torch.zeros_like(labels), labels, NAMES).passed
        assert answers_gate(torch.zeros_like(labels), torch.zeros_like(labels), NAMES) is None


class TestProbabilities:
    def test_rows_that_sum_to_one_number(self):
        said, labels = answers(0.9)
        for scale in (1, 100):
            assert not probability_gate(scale * logits(said).softmax(1), labels).passed
        assert probability_gate(logits(said), labels).passed
        assert probability_gate(logits(said).log_softmax(1), labels).passed

    def test_sigmoids_of_every_class(self):
        said, labels = answers(0.9)
        assert not probability_gate(logits(said).sigmoid(), labels).passed

    def test_one_probability_taken_for_a_logit(self):
        said, labels = answers(0.9, classes=2)
        single = torch.stack([torch.zeros(120), said * 4.0 - 2], 1)
        assert probability_gate(single, labels).passed
        single[:, 1] = single[:, 1].sigmoid()
        assert not probability_gate(single, labels).passed

    def test_small_logits_of_a_weak_classifier(self):
        said, labels = answers(0.45)
        assert probability_gate(0.1 * logits(said), labels).passed
        assert probability_gate(0.5 + 0.01 * logits(said), labels).passed


def test_all_together():
    said, labels = answers(0.8)
    found = prediction_gates(logits(said), labels, NAMES)
    assert (len(found), shut(found)) == (4, [])
    turned = prediction_gates(logits((said + 1) % 3), labels, NAMES)
    assert shut(turned) == ["order of the classes"]  # which says why so few are right
    assert len(turned) == 3
    assert all(gate.remedy and gate.threshold for gate in turned if not gate.passed)


def test_fitting_warns():
    """Of two classes exchanged, and of nothing where the classes are in their order."""
    problem = toy_problem()
    some = problem.calibration

    def fit(labels):
        tta = GenerativeTTA(
            problem.classifier, problem.generator, inverter=Inverter(steps=1), num_views=1
        )
        tta.fit(some.images, labels)

    with pytest.warns(GateWarning, match=r"not to be trusted: The classes.*order down, up"):
        fit(1 - some.labels)
    fit(some.labels)  # and warnings are errors here


def test_sign_test():
    assert sign_test(3, 0) == pytest.approx(1 / 8)
    assert sign_test(0, 0) == 1.0


@pytest.mark.parametrize(
    "gate",
    [
        lambda none: order_gate(none, none, NAMES),
        lambda none: answers_gate(none, none, NAMES),
        lambda none: accuracy_gate(none, none, 3),
        lambda none: class_gate(none, none, NAMES),
        lambda none: drawn_gate(none, none, NAMES),
        lambda none: probability_gate(torch.zeros(0, 3), none),
        lambda none: prediction_gates(torch.zeros(0, 3), none, NAMES),
    ],
)
def test_of_no_image_nothing_is_told(gate):
    with pytest.raises(ValueError, match="number of images: expected an integer of at least 1"):
        gate(torch.zeros(0).long())
