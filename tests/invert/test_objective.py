"""Each term equals a naive float64 loop, image by image, and unknown pixels never reach it."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import nn

from genviews.augment.base import Compose
from genviews.augment.geometry import CentreCrop, HorizontalFlip, RandomCrop, Resize
from genviews.classify.model import Classifier
from genviews.identity import describe, key
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.features import (
    Feature,
    FeatureDistance,
    ModuleFeatures,
    Predictions,
    ReEncode,
    ToEncoder,
)
from genviews.invert.objective import L1, L2, Objective, ToStart
from genviews.types import ImageSpec

SHAPE = (3, 2, 6, 4)
LATENT = (3, 4, 5)


def case(seed=0, dtype=torch.float32):
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(SHAPE, generator=rng) * 2 - 1
    rendered = torch.rand(SHAPE, generator=rng) * 2 - 1
    masks = (torch.rand(3, 1, 6, 4, generator=rng) < 0.6).float()
    latents, start = torch.randn(2, *LATENT, generator=rng)
    return [t.to(dtype) for t in (images, rendered, masks, latents, start)]


class Net(nn.Module):
    """A classifier whose batch norm would mix neighbours, and whose activations are in place."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, 1, 1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 4, 3, 2, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu_(self.norm(self.first(x)))
        return self.head(torch.tanh(self.second(x)).mean((2, 3)))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 24, 20)
        self.norm = nn.BatchNorm1d(20)

    def forward(self, images, masks):
        return self.norm(self.linear(torch.cat([images * masks, masks], 1).flatten(1))).unflatten(
            1, LATENT[1:]
        )


def made(kind, dtype=torch.float32):
    torch.manual_seed(3)
    return kind().to(dtype)


def terms(dtype=torch.float32):
    """One of each, with weights that differ."""
    net, encoder = made(Net, dtype), made(Encoder, dtype)
    features = ModuleFeatures(net, ("norm", "second"))
    return (
        L1(0.5),
        L2(2.0),
        Feature(0.7, FeatureDistance(features)),
        Feature(0.3, FeatureDistance(features, normalise=False), label="plain"),
        Predictions(3.0, net, temperature=0.2),
        ToStart(0.25),
        ToEncoder(0.4, encoder),
        ReEncode(0.6, encoder),
        ReEncode(0.8, encoder, to="latents"),
    )


def parts(objective, images, rendered, masks, latents, start):
    return objective.parts(objective.target(images, masks, start), rendered, latents)


def numbers(objective, *given):
    return {name: v.detach().double().numpy() for name, v in parts(objective, *given).items()}


def total(objective, images, rendered, masks, latents, start):
    return objective(objective.target(images, masks, start), rendered, latents)


def naive(i, power, images, rendered, masks):
    found = []
    for c in range(SHAPE[1]):
        for y in range(SHAPE[2]):
            for x in range(SHAPE[3]):
                if masks[i, 0, y, x]:
                    d = float(images[i, c, y, x]) - float(rendered[i, c, y, x])
                    found.append(abs(d) ** power)
    return math.fsum(found) / len(found)


@pytest.mark.parametrize(("term", "power"), [(L1(), 1), (L2(), 2)])
def test_pixel_terms_equal_a_naive_loop(term, power):
    given = case()
    got = numbers(Objective((term,)), *given)[term.name]
    for i in range(3):
        assert got[i] == pytest.approx(naive(i, power, *given[:3]), rel=1e-5)


@torch.no_grad()
def evaluated(net, *inputs):
    """What a net says of one image alone, in eval mode, in float64."""
    found = net.eval().double()(*(t.double() for t in inputs))
    return found[0].numpy()


def one(tensor, i):
    return tensor[i : i + 1]


def test_latent_terms_equal_a_naive_loop():
    images, rendered, masks, latents, start = given = case()
    got = numbers(Objective(terms()), *given)
    encoder, ones = made(Encoder), torch.ones_like(masks)
    for i in range(3):
        w = latents[i].double().numpy()
        code = evaluated(encoder, one(images, i), one(masks, i))
        again = evaluated(encoder, one(rendered, i), one(masks, i))
        whole = evaluated(encoder, one(rendered, i), one(ones, i))
        expected = {
            "to_start": np.mean((w - start[i].double().numpy()) ** 2),
            "to_encoder": np.mean((w - code) ** 2),
            "re_encode_encoder": np.mean((again - code) ** 2),
            "re_encode_latents": np.mean((w - whole) ** 2),
        }
        for name, value in expected.items():
            assert got[name][i] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("temperature", [1.0, 0.2, 5.0])
def test_predictions_equal_scipy(temperature):
    images, rendered, masks, *_ = given = case()
    term = Predictions(1.0, made(Net), temperature)
    got = numbers(Objective((term,)), *given)["predictions"]
    for i in range(3):
        x, y = (evaluated(made(Net), one(t * masks, i)) for t in (images, rendered))
        expected = rel_entr(softmax(x / temperature), softmax(y / temperature)).sum()
        assert got[i] == pytest.approx(expected, rel=1e-3, abs=1e-7)
    same = parts(Objective((term,)), images, images, *given[2:])["predictions"]
    torch.testing.assert_close(same, torch.zeros(3), rtol=0, atol=1e-7)


def test_predictions_are_of_what_the_classifier_is_shown():
    """A photo and a rendering each go through their own transform, and gradients back through."""
    images, rendered, masks, *rest = case(dtype=torch.float64)
    photo, shown = HorizontalFlip(1.0), Compose(CentreCrop(4, 2), Resize((6, 4)))
    net = made(Net, torch.float64).eval()
    term = Predictions(1.0, net, photo_transform=photo, render_transform=shown)
    rendered.requires_grad_(True)
    got = parts(Objective((term,)), images, rendered, masks, *rest)["predictions"]
    x = (images * masks).flip(-1)
    y = (rendered * masks)[:, :, 1:5, 1:3]
    y = nn.functional.interpolate(y, (6, 4), mode="bilinear", antialias=True)
    p, q = (net(value.clone()).log_softmax(1) for value in (x, y))
    wanted = (p.exp() * (p - q)).sum(1)
    torch.testing.assert_close(got, wanted)
    slopes = [torch.autograd.grad(loss.sum(), rendered)[0] for loss in (got, wanted)]
    torch.testing.assert_close(*slopes)
    assert float(slopes[0].abs().sum()) > 0


@pytest.mark.parametrize("name", ["photo_transform", "render_transform"])
def test_predictions_of_views_by_chance_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name} .*of the predictions term: .*nothing to chance"):
        Predictions(1.0, made(Net), **{name: RandomCrop(padding=1)})


def test_predictions_of_a_classifier_with_one_logit():
    images, rendered, masks, *_ = given = case()
    torch.manual_seed(5)
    single = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    classifier = Classifier(single, ImageSpec(channels=2, height=6, width=4), ("no", "yes"))
    got = parts(Objective((Predictions(1.0, classifier),)), *given)["predictions"]
    p, q = (torch.sigmoid(single(t * masks)).flatten().double() for t in (images, rendered))
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(got.double(), expected, rtol=1e-3, atol=1e-7)
    with pytest.raises(ValueError, match="term: expected 2 classes or more, got 1; wrap the"):
        parts(Objective((Predictions(1.0, single),)), *given)


@pytest.mark.parametrize("normalise", [True, False])
def test_feature_distance_equals_a_naive_loop(normalise):
    images, rendered, masks, *_ = given = case()
    net = made(Net)
    distance = FeatureDistance(ModuleFeatures(net, ("norm", "second")), normalise=normalise)
    got = numbers(Objective((Feature(1.0, distance),)), *given)["feature"]

    def maps(image):
        x = net.norm(net.first(image))
        return x[0], net.second(torch.relu(x))[0]

    net.eval().double()
    for i in range(3):
        layers = []
        with torch.no_grad():
            pairs = zip(
                *(maps(one(t * masks, i).double()) for t in (images, rendered)), strict=True
            )
        for a, b in pairs:
            step = 6 // a.shape[1]
            found, known = 0.0, 0.0
            for y in range(a.shape[1]):
                for x in range(a.shape[2]):
                    u, v = a[:, y, x].numpy(), b[:, y, x].numpy()
                    if normalise:
                        d = np.sum((u / np.linalg.norm(u) - v / np.linalg.norm(v)) ** 2)
                    else:
                        d = np.mean((u - v) ** 2)
                    block = masks[i, 0, step * y : step * (y + 1), step * x : step * (x + 1)]
                    share = float(block.double().mean())
                    found, known = found + share * d, known + share
            layers.append(found / known)
        assert got[i] == pytest.approx(np.mean(layers), rel=1e-4)


def test_the_objective_is_the_weighted_sum():
    objective, given = Objective(terms()), case()
    separate = parts(objective, *given)
    expected = sum(t.weight * separate[t.name].double() for t in objective.terms)
    torch.testing.assert_close(total(objective, *given).double(), expected, rtol=1e-5, atol=1e-6)
    assert list(separate) == [term.name for term in objective.terms]
    only = Objective((L1(), *(t for t in terms() if t.name == "to_start")))
    torch.testing.assert_close(
        total(only, *given), separate["l1"] + 0.25 * separate["to_start"], rtol=1e-5, atol=1e-7
    )


def test_the_default_is_l1():
    given = case()
    assert torch.equal(total(Objective(), *given), parts(Objective((L1(),)), *given)["l1"])


@pytest.mark.parametrize(
    ("given", "stages"),
    [
        ((L1(), L2()), (0.1, 0.02, 0.0)),
        ((L1(smoothing=0.02),), (0.1, 0.02)),
        ((L1(smoothing=0.05),), (0.1, 0.05)),
        ((L1(smoothing=0.5), L2()), (0.5,)),
        ((L2(),), (0.1,)),
        ((L1(0.0), L2()), (0.1,)),
    ],
)
def test_stages_are_those_that_make_a_difference(given, stages):
    assert Objective(given).stages((0.1, 0.02, 0.0)) == stages


def test_re_encoding_hides_unknown_pixels_of_the_rendering():
    """Beyond the contract, for it compares images as the encoder sees them."""
    images, rendered, masks, latents, start = given = case()
    objective = Objective((L1(), ReEncode(0.6, made(Encoder))))
    for garbage in (math.nan, 1e6):
        moved = torch.where(masks.bool(), rendered, garbage).requires_grad_(True)
        got = parts(objective, images, moved, masks, latents, start)["re_encode_encoder"]
        assert torch.equal(got, parts(objective, *given)["re_encode_encoder"])
        (gradient,) = torch.autograd.grad(got.sum(), moved)
        hidden = masks.expand_as(gradient) == 0
        assert not gradient[hidden].any()
        assert gradient[~hidden].any()


def test_what_is_kept_carries_no_gradient():
    images, _, masks, _, start = case()
    target = Objective(terms()).target(images.requires_grad_(True), masks, start)
    assert torch.equal(target.images, images * masks)
    assert not any(value.requires_grad for kept in target.kept for value in kept)
    assert [len(kept) for kept in target.kept] == [0, 0, 2, 2, 1, 0, 1, 1, 0]


def test_a_weight_of_zero_leaves_the_term_out():
    class Never(nn.Module):
        def forward(self, images, masks=None):
            raise AssertionError("called")

    idle = (Predictions(0.0, Never()), ToEncoder(0.0, Never()))
    objective, given = Objective((L2(2.0), *idle)), case()
    assert list(parts(objective, *given)) == ["l2"]
    assert objective.modules() == []
    assert [d["type"] for d in describe(objective)["terms"]] == ["genviews:L2"]


def test_modules_are_listed_once():
    objective = Objective(terms())
    net, encoder = objective.terms[4].classifier, objective.terms[6].encoder
    features = objective.terms[2].distance.extract
    assert [id(m) for m in objective.modules()] == [id(m) for m in (features, net, encoder)]


def change_a_weight(index):
    def change(objective):
        with torch.no_grad():
            next(objective.terms[index].modules()[0].parameters()).view(-1)[0] += 1

    return change


@pytest.mark.parametrize("index", [2, 3, 4, 6, 7, 8])
def test_a_description_follows_the_networks(index):
    objective = Objective(terms())
    before = describe(objective)
    assert json.loads(json.dumps(before, allow_nan=False)) == before
    assert describe(Objective(terms())) == before
    change_a_weight(index)(objective)
    assert describe(objective)["terms"][index] != before["terms"][index]


def test_a_description_follows_the_settings():
    net, encoder = made(Net), made(Encoder)
    features = ModuleFeatures(net, ("first",))
    different = [
        L1(),
        L1(0.5),
        L2(),
        ToStart(1.0),
        ToEncoder(1.0, encoder),
        ReEncode(1.0, encoder),
        ReEncode(1.0, encoder, to="latents"),
        Predictions(1.0, net),
        Predictions(1.0, net, temperature=2.0),
        Predictions(1.0, net, photo_transform=CentreCrop(2)),
        Predictions(1.0, net, render_transform=CentreCrop(2)),
        Predictions(1.0, net, render_transform=CentreCrop(1)),
        Feature(1.0, FeatureDistance(features)),
        Feature(1.0, FeatureDistance(features, normalise=False)),
        Feature(1.0, FeatureDistance(ModuleFeatures(net, ("second",)))),
        Feature(1.0, FeatureDistance(made(nn.Identity))),
        Feature(1.0, FeatureDistance(lambda x: [x], module=net)),
    ]
    assert len({json.dumps(describe(term)) for term in different}) == len(different)


def test_whole_numbers_are_described_like_others():
    net = made(Net)
    for one, other in (
        (L1(1), L1(1.0)),
        (Predictions(2, net, 1), Predictions(2.0, net, 1.0)),
        (Feature(1, FeatureDistance(net)), Feature(1.0, FeatureDistance(net))),
    ):
        assert json.dumps(describe(one)) == json.dumps(describe(other))


def test_a_method_of_a_network_in_training_is_called_in_eval_mode():
    given = case()
    config = EncoderConfig(
        image_channels=2, size=8, num_layers=4, dim=5, widths=(8,), blocks=(1,), neck=2
    )
    encoder = InversionEncoder(config).train()
    before = key(encoder)
    objective = Objective((Feature(1.0, FeatureDistance(encoder.features)),))
    training = parts(objective, *given)["feature"]
    assert encoder.training
    assert key(encoder) == before
    encoder.eval()
    assert torch.equal(training, parts(objective, *given)["feature"])
    assert objective.modules() == [encoder]


class TestModuleFeatures:
    def test_equals_the_layers_called_by_hand(self):
        net, (images, *_) = made(Net).eval(), case()
        first, second = ModuleFeatures(net, ("norm", "second"))(images)
        by_hand = net.norm(net.first(images))
        assert torch.equal(first, by_hand)  # not what the in-place relu made of it
        assert torch.equal(second, net.second(torch.relu(by_hand)))

    def test_a_classifier_normalises_first(self):
        net, (images, *_) = made(Net), case()
        spec = ImageSpec(channels=2, height=6, width=4)
        classifier = Classifier(net, spec, ("a", "b", "c"), mean=0.5, std=0.25)
        (got,) = ModuleFeatures(classifier, ("module.first",))(images)
        torch.testing.assert_close(got, net.first((images - 0.5) / 0.25))

    def test_hooks_and_modes_are_as_before(self):
        net, (images, *_) = made(Net), case()
        net.norm.eval()
        running = net.norm.running_mean.clone()
        features = ModuleFeatures(net, ("first",))
        features(images)
        with pytest.raises(ValueError, match=r"network of the features.*2 channels"):
            features(images[:, :1])
        assert not any(module._forward_hooks for module in net.modules())
        modes = {name: module.training for name, module in net.named_modules()}
        assert modes == {"": True, "first": True, "norm": False, "second": True, "head": True}
        assert torch.equal(net.norm.running_mean, running)

    def test_gradients_reach_the_images(self):
        net, (images, *_) = made(Net), case()
        (found,) = ModuleFeatures(net, ("second",))(images.requires_grad_(True))
        (gradient,) = torch.autograd.grad(found[1].sum(), images)
        assert bool(gradient[1].any())
        assert not bool(gradient[0].any() or gradient[2].any())

    def test_unknown_layers_list_close_ones(self):
        with pytest.raises(ValueError, match=r"one of first, norm, .*did you mean 'second'"):
            ModuleFeatures(made(Net), ("secnd",))
        wrapped = nn.ModuleDict({"module": made(Net)})
        with pytest.raises(ValueError, match=r"'module\.norm'"):
            ModuleFeatures(wrapped, ("norm",))
        with pytest.raises(ValueError, match="none is close"):
            ModuleFeatures(made(Net), ("xyz",))
        with pytest.raises(ValueError, match="feature layers: expected at least one"):
            ModuleFeatures(made(Net), ())

    def test_layers_without_maps_are_refused(self):
        images = case()[0]
        with pytest.raises(ValueError, match=r"'head': .* \(3, C, H, W\), got \(3, 3\)"):
            ModuleFeatures(made(Net), ("head",))(images)
        act = nn.ReLU()
        with pytest.raises(ValueError, match="'0': expected one call, got 2 calls"):
            ModuleFeatures(nn.Sequential(act, act), ("0",))(images)


@pytest.mark.parametrize(
    "given",
    [
        (),
        (L1(0.0),),
        (L1(), L2(-1.0)),
        (L1(math.nan),),
        (ToStart(1.0),),
        (L1(0.0), ToStart(1.0)),
    ],
)
def test_bad_weights_are_refused(given):
    with pytest.raises(ValueError, match="objective weights: expected non-negative, and at least"):
        Objective(given)


def test_bad_terms_are_refused():
    with pytest.raises(ValueError, match="terms: expected all different, got 'l1' more than once"):
        Objective((L1(), L1(0.5)))
    with pytest.raises(ValueError, match="temperature: expected a finite number above 0"):
        Predictions(1.0, made(Net), 0.0)
    distance = FeatureDistance(lambda images: [images])
    Objective((Feature(1.0, distance), Feature(1.0, distance, label="other")))
