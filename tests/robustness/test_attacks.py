"""Attacks equal foolbox's, and a float64 loop that is written by hand from the papers' formulas."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from genviews import Rng
from genviews.robustness.attack import Attack, size_of
from genviews.robustness.carlini_wagner import CarliniWagner
from genviews.robustness.gradient import FGSM, PGD
from genviews.types import Images
from genviews.zoo import zoo_classifier, zoo_images

COUNT, SHAPE, CLASSES = 20, (1, 5, 5), 4
STREAMS = Rng(0, "attacks").streams(range(COUNT))
IMAGES = (STREAMS.uniform(1, SHAPE)[:, 0] * 1.9 - 0.95).double()
WEIGHTS = Rng(1, "attacks").streams(range(CLASSES)).normal(1, (25,))[:, 0].double() / 3


def network() -> nn.Module:
    """Two layers of convolution, smooth, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 6, 3), nn.ELU(), nn.Flatten(), nn.Linear(54, CLASSES)]
        return nn.Sequential(*layers).double().eval()


NETWORK = network()
LABELS = NETWORK(IMAGES).argmax(1)


@pytest.fixture
def foolbox():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports SciPy's modules by their old names
        return pytest.importorskip("foolbox", exc_type=ImportError)


@pytest.mark.parametrize("budget", [0.02, 0.3])
@pytest.mark.parametrize("kind", ["fgsm", "pgd", "pgd_l2"])
def test_equals_foolbox(foolbox, kind: str, budget: float) -> None:
    theirs, ours = {
        "fgsm": lambda: (foolbox.attacks.LinfFastGradientAttack(), FGSM(budget)),
        "pgd": lambda: (
            foolbox.attacks.LinfProjectedGradientDescentAttack(
                steps=7, rel_stepsize=0.3, random_start=False
            ),
            PGD(budget, steps=7, stride=0.3, random_start=False),
        ),
        "pgd_l2": lambda: (
            foolbox.attacks.L2ProjectedGradientDescentAttack(
                steps=7, rel_stepsize=0.3, random_start=False
            ),
            PGD(budget, steps=7, stride=0.3, random_start=False, norm="l2"),
        ),
    }[kind]()
    model = foolbox.PyTorchModel(NETWORK, bounds=(-1, 1), device="cpu")
    wanted = theirs.run(model, IMAGES, LABELS, epsilon=budget)
    found = ours(NETWORK, IMAGES, LABELS, STREAMS)
    assert float((wanted - IMAGES).abs().max()) > budget / 10
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [0.05, 0.1])
def test_takes_as_much_as_foolbox_of_the_shipped_classifier(foolbox, budget: float) -> None:
    """In float32 the sign of a slope of nearly 0 is chance, so the losses are compared."""
    classifier, test = zoo_classifier("fashion32"), zoo_images("fashion32", "test")
    test = test.select(range(0, 500, 16))
    theirs = foolbox.attacks.LinfProjectedGradientDescentAttack(
        steps=10, rel_stepsize=0.25, random_start=False
    )
    model = foolbox.PyTorchModel(classifier.eval(), bounds=(-1, 1), device="cpu")
    wanted = theirs.run(model, test.images, test.labels, epsilon=budget)
    streams = Rng(0).streams(test.ids)
    found = PGD(budget, steps=10, random_start=False)(classifier, test.images, test.labels, streams)
    logits = [classifier(images) for images in (test.images, wanted, found)]
    clean, their, our = (nn.functional.cross_entropy(z, test.labels) for z in logits)
    assert their > clean + 1
    assert float(our) == pytest.approx(float(their), rel=0.02)
    right = [int((z.argmax(1) == test.labels).sum()) for z in logits[1:]]
    assert abs(right[0] - right[1]) <= 1


def test_carlini_and_wagner_is_foolbox_image_by_image(foolbox) -> None:
    """What is ours about it: no image depends on another, none is lost, and the budget is held."""
    images, labels = IMAGES[:3].float(), LABELS[:3].clone()
    labels[2] = (labels[2] + 1) % CLASSES  # the network errs already
    model, attack = network().float(), CarliniWagner(steps=30, searches=5, stride=0.05)
    found = attack(model, images, labels, STREAMS[:3])
    assert (model(found).argmax(1) != labels).all()
    assert torch.equal(found[2], images[2])
    reference = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=5, steps=30, stepsize=0.05, abort_early=False
    )
    asked = foolbox.PyTorchModel(model, bounds=(-1, 1), device="cpu")
    for row in range(2):
        own = slice(row, row + 1)
        _, wanted, _ = reference(asked, images[own], labels[own], epsilons=None)
        torch.testing.assert_close(found[own], wanted, rtol=0, atol=1e-4)
    hopeless = CarliniWagner(steps=1, searches=1)(model, images, labels, STREAMS[:3])
    assert torch.equal(hopeless, images)  # foolbox gives grey ones
    short = CarliniWagner(0.01, steps=30, searches=5, stride=0.05)
    assert float(size_of(short(model, images, labels, STREAMS[:3]) - images, "l2").max()) < 0.0101


def softmax_slope(x: np.ndarray, label: int, loss: str) -> np.ndarray:
    """The gradient of the loss of a linear model, by its formula."""
    w = WEIGHTS.numpy()
    z = w @ x
    if loss == "margin":
        other = max((k for k in range(CLASSES) if k != label), key=lambda k: z[k])
        return w[other] - w[label]
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    return w.T @ (p - np.eye(CLASSES)[label])


def by_hand(x0: np.ndarray, label: int, attack: PGD, begin: np.ndarray) -> np.ndarray:
    """One image, one restart, as the papers have it."""
    x, step = begin, (attack.stride or 2.5 / attack.steps) * attack.budget
    for _ in range(attack.steps):
        g = softmax_slope(x, label, attack.loss)
        x = x + step * (np.sign(g) if attack.norm == "linf" else g / np.sqrt((g**2).sum()))
        d = x - x0
        if attack.norm == "linf":
            d = np.maximum(np.minimum(d, attack.budget), -attack.budget)
        elif (size := np.sqrt((d**2).sum())) > attack.budget:
            d = d * attack.budget / size
        x = np.maximum(np.minimum(x0 + d, 1), -1)
    return x


def linear(images: Images) -> Images:
    return images.flatten(1) @ WEIGHTS.T


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_equals_a_loop_by_hand(norm, loss) -> None:
    attack = PGD(0.4, steps=5, norm=norm, loss=loss)
    labels = linear(IMAGES).argmax(1)
    found = attack(linear, IMAGES, labels, STREAMS).flatten(1).numpy()
    begin = attack.start(IMAGES, STREAMS.child("pgd").child("restart 0")).flatten(1).numpy()
    flat = IMAGES.flatten(1).numpy()
    for row in range(COUNT):
        wanted = by_hand(flat[row], int(labels[row]), attack, begin[row])
        np.testing.assert_allclose(found[row], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_fill_the_ball(norm) -> None:
    """Uniformly: of a ball of n dimensions the half by volume lies beyond 0.5 ** (1 / n)."""
    images = torch.zeros(400, *SHAPE)
    starts = PGD(0.5, norm=norm).start(images, Rng(3).streams(range(400)))
    size = size_of(starts, norm) / 0.5
    assert float(size.max()) <= 1 + 1e-6
    assert 0.4 < float((size > 0.5 ** (1 / 25)).float().mean()) < 0.6
    assert float(starts.mean((0, 2, 3)).abs().max()) < 0.05


def test_of_several_restarts_the_worst_is_kept() -> None:
    images, labels = IMAGES[:8], LABELS[:8]

    def margins(restarts: int) -> torch.Tensor:
        attack: Attack = PGD(0.1, steps=2, restarts=restarts)
        logits = NETWORK(attack(NETWORK, images, labels, STREAMS[:8]))
        own = logits.gather(1, labels[:, None])[:, 0]
        return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - own

    one, five = margins(1), margins(5)
    assert (five >= one - 1e-12).all()
    assert (five > one + 1e-6).any()


def test_a_missing_foolbox_says_how_to_install_it() -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import foolbox  # noqa: F401  (whether it is there)
    except ImportError:
        with pytest.raises(ModuleNotFoundError, match=r"attack 'cw'.*genviews\[robustness\]"):
            CarliniWagner()(NETWORK, IMAGES, LABELS, STREAMS)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda images: images[:, :, :2], r"logits: expected shape \(16, Y\)"),
        (lambda images: images.flatten(1)[:, :2], "labels: expected classes from 0 to 1"),
        (lambda images: images.flatten(1) @ images, "attacked model: expected an answer to"),
    ],
)
def test_a_model_that_gives_no_logits_is_told(model, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FGSM(0.1)(model, IMAGES, LABELS, STREAMS)
