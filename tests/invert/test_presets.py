"""The published objectives: their terms, and their sum over a few lines of plain torch."""

import pytest
import torch
from torch import nn

from genviews.invert.features import Feature, FeatureDistance
from genviews.invert.inverter import (
    Inverter,
    default_objective,
    in_domain_objective,
    paper_objective,
    reference_objective,
)
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2
from genviews.invert.start import MeanStart


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2 * 30, 4 * 6)

    def forward(self, images, masks):
        known = torch.cat([images[:, :1] * masks, masks], 1)
        return self.linear(known.flatten(1)).unflatten(1, (4, 6))


@pytest.fixture
def case():
    images, rendered = torch.rand(2, 3, 1, 6, 5) * 2 - 1
    masks = (torch.rand(3, 1, 6, 5) < 0.7).float()
    latents, start = torch.randn(2, 3, 4, 6)
    return images, rendered, masks, latents, start


def value(objective, case):
    images, rendered, masks, latents, start = case
    return objective(objective.target(images, masks, start), rendered, latents)


def mse(a, b):
    return (a - b).square().flatten(1).mean(1)


def l1(a, b, m):
    return ((a - b).abs() * m).flatten(1).sum(1) / m.flatten(1).sum(1)


def l2(a, b, m):
    return ((a - b).square() * m).flatten(1).sum(1) / m.flatten(1).sum(1)


def test_default(case):
    x, g, m, _, _ = case
    torch.testing.assert_close(value(default_objective(), case), l1(x, g, m) + l2(x, g, m))


def test_paper(case):
    x, g, m, w, _ = case
    encoder = Encoder()
    expected = l1(x, g, m) + 3 * l2(x, g, m) + 0.5 * mse(w, encoder(x, m))
    got = value(paper_objective(encoder, perceptual=L2(3.0)), case)
    torch.testing.assert_close(got, expected)


def test_reference(case):
    x, g, m, w, start = case
    encoder = Encoder()
    image = 0.5 * l1(x, g, m) + 3 * l2(x, g, m)
    got = value(reference_objective(encoder, perceptual=L2(3.0)), case)
    torch.testing.assert_close(got, image + 0.25 * mse(encoder(x, m), encoder(g, m)))
    got = value(reference_objective(None, perceptual=L2(3.0)), case)
    torch.testing.assert_close(got, image + 0.25 * mse(w, start))


def test_in_domain(case):
    x, g, m, w, _ = case
    m = torch.ones_like(m)
    encoder, trunk = Encoder(), nn.Conv2d(1, 8, 3, 2, 1)
    objective = in_domain_objective(encoder, FeatureDistance(lambda i: [trunk(i)], normalise=False))
    expected = mse(x, g) + 5e-5 * mse(trunk(x), trunk(g)) + 2 * mse(w, encoder(g, m))
    torch.testing.assert_close(value(objective, (x, g, m, w, w)), expected)
    # 5e-5 is small beside the rest: its term on its own.
    feature = objective.parts(objective.target(x, m, w), g, w)["feature"]
    torch.testing.assert_close(feature, mse(trunk(x), trunk(g)))


def test_in_domain_refuses_normalised_features():
    with pytest.raises(ValueError, match="normalise=False"):
        in_domain_objective(Encoder(), FeatureDistance(lambda images: [images]))


def test_lpips_is_that_of_the_paper_and_of_the_code(lpips_backbone):
    encoder = Encoder()
    paper = paper_objective(encoder, lpips_backbone("alex"))
    code = reference_objective(encoder, lpips_backbone("alex"))
    listed = [[(t.name, t.weight) for t in o.terms] for o in (paper, code)]
    assert listed[0] == [("l1", 1.0), ("lpips_alex", 1.0), ("to_encoder", 0.5)]
    assert listed[1] == [("l1", 0.5), ("lpips_alex", 0.5), ("re_encode_encoder", 0.25)]
    assert [o.terms[1].leak for o in (paper, code)] == [False, True]


def test_without_weights_the_error_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"hub/checkpoints/alexnet-owt-7be5be79\.pth"):
        paper_objective(Encoder())
    other = Feature(1.0, FeatureDistance(lambda images: [images]))
    assert paper_objective(Encoder(), perceptual=other).terms[1] is other


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": MeanStart}, r"start of the inverter: .* make one, such as SampleStart\(\)"),
        ({"start": torch.zeros(1, 4, 4)}, "start of the inverter: expected an object of a kind"),
        ({"objective": L1()}, r"objective of the inverter: .* such as Objective\(\)"),
        ({"optimizer": LBFGS}, r"optimizer of the inverter: .* such as LBFGS\(\)"),
        ({"optimizer": "lbfgs"}, "optimizer of the inverter: .* got 'lbfgs'"),
    ],
)
@pytest.mark.as_installed
def test_parts_of_another_kind_are_refused(wrong, message):
    with pytest.raises(TypeError, match=message):
        Inverter(**wrong)
