"""LPIPS equals the package's own forward; its weights are read strictly and never downloaded."""

import json
import socket
import sys

import jaxtyping
import pytest
import torch
from safetensors.torch import save_file

from genviews.generators.toy import ToyGenerator
from genviews.identity import describe
from genviews.invert.objective import Objective
from genviews.invert.perceptual import LPIPS
from genviews.testing import check_objective

NETS = ("alex", "vgg")
SIZE = (37, 33)


def case(channels=3, size=SIZE):
    images, rendered = torch.rand(2, 2, channels, *size) * 2 - 1
    masks = torch.ones(2, 1, *size)
    masks[0, :, :, 20:] = 0
    masks[1, :, 5:9, 7:30] = 0
    return images, rendered, masks, torch.zeros(2, 3, 4)


def value(term, images, rendered, masks, latents):
    objective = Objective((term,))
    return objective(objective.target(images, masks, latents), rendered, latents)


@pytest.mark.parametrize(
    ("net", "masked", "leak"),
    [("alex", False, False), ("alex", True, False), ("alex", True, True), ("vgg", True, False)],
)
def test_equals_the_package(net, masked, leak, lpips_random, lpips_backbone):
    images, rendered, masks, latents = case()
    masks = masks if masked else torch.ones_like(masks)
    hidden = torch.ones_like(masks) if leak else masks
    rendered.requires_grad_(True)
    maps = lpips_random(net)(rendered * hidden, images * hidden)
    expected = (maps * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))
    got = value(LPIPS(1.0, net, lpips_backbone(net), leak), images, rendered, masks, latents)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7)
    assert bool((got > 0.01).all())
    ours, theirs = (torch.autograd.grad(v.sum(), rendered)[0] for v in (got, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-8)


def test_unmasked_is_the_mean_of_the_map_and_zero_for_the_same_image(lpips_backbone, lpips_random):
    images, rendered, _, latents = case()
    masks = torch.ones_like(images[:, :1])
    term = LPIPS(1.0, "alex", lpips_backbone("alex"))
    expected = lpips_random("alex")(rendered, images).mean((1, 2, 3))
    torch.testing.assert_close(value(term, images, rendered, masks, latents), expected)
    assert torch.equal(value(term, images, images, masks, latents), torch.zeros(2))


def test_grey_is_repeated(lpips_backbone):
    images, rendered, masks, latents = case(channels=1)
    term = LPIPS(1.0, "alex", lpips_backbone("alex"))
    colour = value(term, images.repeat(1, 3, 1, 1), rendered.repeat(1, 3, 1, 1), masks, latents)
    assert torch.equal(value(term, images, rendered, masks, latents), colour)


def test_it_keeps_the_contract_of_terms(lpips_backbone):
    check_objective(LPIPS(1.0, "alex", lpips_backbone("alex")), ToyGenerator(size=31))


def test_unknown_pixels_count_where_asked(lpips_backbone):
    images, rendered, masks, latents = case()
    leaking = LPIPS(1.0, "alex", lpips_backbone("alex"), leak=True)
    expected = value(leaking, images, rendered, masks, latents)
    other = torch.where(masks.bool(), images, -1.0)
    assert bool((value(leaking, other, rendered, masks, latents) != expected).all())


def test_gradient_where_all_features_are_zero(lpips_random, lpips_backbone, tmp_path):
    images, rendered, masks, latents = case()
    dead = {k: torch.zeros_like(v) for k, v in torch.load(lpips_backbone("alex")).items()}
    torch.save(dead, tmp_path / "dead.pth")
    rendered.requires_grad_(True)
    got = value(LPIPS(1.0, "alex", tmp_path / "dead.pth"), images, rendered, masks, latents)
    assert torch.equal(torch.autograd.grad(got.sum(), rendered)[0], torch.zeros_like(rendered))


@pytest.mark.parametrize(("net", "least"), [("alex", 31), ("vgg", 16)])
def test_too_small_images(net, least, lpips_backbone):
    term = LPIPS(1.0, net, lpips_backbone(net))
    images, rendered, masks, latents = case(size=(least, least))
    masks = torch.ones_like(masks)
    assert bool(value(term, images, rendered, masks, latents).isfinite().all())
    images, rendered, masks, latents = case(size=(least, least - 1))
    with pytest.raises(ValueError, match=f"height and width of at least {least} pixels, got"):
        value(term, images, rendered, torch.ones_like(masks), latents)


def test_two_channels_are_refused(lpips_backbone):
    images, rendered, masks, latents = case(channels=2)
    with pytest.raises(ValueError, match="expected 1 or 3 channels"):
        value(LPIPS(1.0, "alex", lpips_backbone("alex")), images, rendered, masks, latents)


def test_safetensors_and_the_cache_of_torchvision(lpips_backbone, tmp_path, monkeypatch):
    given = torch.load(lpips_backbone("alex"))
    save_file(given, tmp_path / "a.safetensors")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(given, cache / "alexnet-owt-7be5be79.pth")
    expected = describe(LPIPS(1.0, "alex", lpips_backbone("alex")))
    assert describe(LPIPS(1.0, "alex", str(tmp_path / "a.safetensors"))) == expected
    assert describe(LPIPS()) == expected


def test_making_one_draws_nothing_and_is_frozen(lpips_backbone):
    path, before = lpips_backbone("alex"), torch.get_rng_state()
    term = LPIPS(1.0, "alex", path)
    assert torch.equal(torch.get_rng_state(), before)
    (network,) = term.modules()
    assert not any(part.training for part in network.modules())
    assert not any(p.requires_grad or p.is_meta for p in network.parameters())


@pytest.mark.parametrize("net", NETS)
def test_missing_weights_are_named_and_not_fetched(net, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        LPIPS(1.0, net)
    name = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}[net]
    assert str(tmp_path / "hub" / "checkpoints" / name) in str(caught.value)
    assert f"download https://download.pytorch.org/models/{name}" in str(caught.value)
    assert "`weights=`" in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere\.pth"):
        LPIPS(1.0, net, tmp_path / "nowhere.pth")


def test_wrong_weights_are_named(lpips_backbone, tmp_path):
    given = torch.load(lpips_backbone("alex"))
    given["features.3.weight"] = torch.zeros(1, 2)
    del given["features.0.bias"]
    given["layer4.weight"] = torch.zeros(3)
    torch.save(given, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=r"backbone weights wrong\.pth: expected") as caught:
        LPIPS(1.0, "alex", tmp_path / "wrong.pth")
    for part in (
        "missing features.0.bias",
        "unused layer4.weight",
        "features.3.weight has shape (1, 2), not (192, 64, 5, 5)",
    ):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match=r"missing features\.2\.weight"):
        LPIPS(1.0, "vgg", lpips_backbone("alex"))
    (tmp_path / "text.pth").write_text("no tensors")
    with pytest.raises(ValueError, match=r"text\.pth: expected a file of tensors alone"):
        LPIPS(1.0, "alex", tmp_path / "text.pth")


def test_without_the_package(monkeypatch, lpips_backbone):
    path = lpips_backbone("alex")
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ImportError, match=r"pip install 'genviews\[perceptual\]'"):
        LPIPS(1.0, "alex", path)


def test_unknown_net(lpips_backbone):
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match="'alexnet'"):
        LPIPS(1.0, "alexnet", lpips_backbone("alex"))


def test_description(lpips_backbone, tmp_path):
    path = lpips_backbone("alex")
    other = torch.load(path)
    other["features.0.bias"] += 1
    torch.save(other, tmp_path / "other.pth")
    terms = [
        LPIPS(1.0, "alex", path),
        LPIPS(0.5, "alex", path),
        LPIPS(1.0, "alex", path, leak=True),
        LPIPS(1.0, "alex", tmp_path / "other.pth"),
        LPIPS(1.0, "vgg", lpips_backbone("vgg")),
    ]
    texts = {json.dumps(describe(term), sort_keys=True) for term in terms}
    assert len(texts) == 5
    assert not any(str(tmp_path) in text for text in texts)
