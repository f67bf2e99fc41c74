"""The small network: against a plain functional forward, its files, and its random numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from genviews.classify.network import SmallResNet


def images(n: int = 3, channels: int = 1) -> torch.Tensor:
    gen = torch.Generator().manual_seed(0)
    return torch.rand(n, channels, 32, 32, generator=gen) * 2 - 1


def trained_looking(network: SmallResNet) -> SmallResNet:
    """Give the norms statistics and scales that are not 0 and 1."""
    gen = torch.Generator().manual_seed(5)
    for name, buffer in network.state_dict().items():
        if ("norm" in name or "shortcut.2" in name) and buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape, generator=gen) + 0.5)
    return network.eval()


def reference(weights: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """The network in float64 as a plain list of formulas; its three maps and its logits."""
    w = {k: v.double() for k, v in weights.items()}

    def norm(h: torch.Tensor, key: str) -> torch.Tensor:
        scale = w[f"{key}.weight"] / torch.sqrt(w[f"{key}.running_var"] + 1e-5)
        shift = w[f"{key}.bias"] - w[f"{key}.running_mean"] * scale
        return h * scale[:, None, None] + shift[:, None, None]

    h = F.conv2d(x.double(), w["stem.weight"], stride=2, padding=1)
    h = norm(h, "stem_norm").clamp(min=0)
    out = []
    for i, stride in enumerate((1, 2, 2)):
        key = f"blocks.{i}."
        y = norm(F.conv2d(h, w[key + "conv1.weight"], stride=stride, padding=1), key + "norm1")
        y = norm(F.conv2d(y.clamp(min=0), w[key + "conv2.weight"], padding=1), key + "norm2")
        if stride == 2:
            small = h.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))
            h = norm(F.conv2d(small, w[key + "shortcut.1.weight"]), key + "shortcut.2")
        h = (h + y).clamp(min=0)
        out.append(h)
    return [*out, h.mean((2, 3)) @ w["head.weight"].T + w["head.bias"]]


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_network_it_says(channels: int) -> None:
    network = trained_looking(SmallResNet(channels, 7, width=8))
    x = images(3, channels)
    want = reference(network.state_dict(), x)
    torch.testing.assert_close(network(x).double(), want[-1], rtol=1e-4, atol=1e-4)
    maps = network.features(x)
    assert [tuple(m.shape) for m in maps] == [(3, 8, 16, 16), (3, 16, 8, 8), (3, 24, 4, 4)]
    for got, expected in zip(maps, want[:3], strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)


def test_features_are_not_changed_by_what_follows() -> None:
    network = trained_looking(SmallResNet(width=8))
    first = network.features(images())[0].clone()
    maps = network.features(images())
    network.head(maps[-1].mean((2, 3)))
    assert torch.equal(maps[0], first)


def test_features_carry_gradients() -> None:
    x = images().requires_grad_()
    sum(m.square().sum() for m in trained_looking(SmallResNet(width=8)).features(x)).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_the_default_is_small() -> None:
    assert sum(p.numel() for p in SmallResNet().parameters()) <= 300_000


def test_memory_is_channels_last() -> None:
    network = SmallResNet(width=8).eval()
    for features in network.features(images()):
        assert features.is_contiguous(memory_format=torch.channels_last)


def test_the_seed_alone_decides_the_weights() -> None:
    state = torch.get_rng_state()
    one, same, other = SmallResNet(seed=1), SmallResNet(seed=1), SmallResNet(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    for (name, a), b, c in zip(
        one.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert "norm" in name or "bias" in name or "shortcut.2" in name or not torch.equal(a, c)


def test_first_weights_have_the_scale_of_he() -> None:
    weight = SmallResNet().blocks[2].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (96 * 9)) ** 0.5, rel=0.05)


def test_a_file_gives_the_network_back(tmp_path) -> None:
    network = trained_looking(SmallResNet(channels=3, num_classes=4, width=8))
    path = tmp_path / "net.safetensors"
    network.save(path, {"licence": "MIT"})
    loaded = SmallResNet.load(path)
    assert not loaded.training
    assert loaded.config == {"channels": 3, "num_classes": 4, "width": 8}
    assert torch.equal(loaded(images(2, 3)), network(images(2, 3)))


def test_wrong_files_are_explained(tmp_path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError):
        SmallResNet.load(path)
    path.write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match=r"net\.safetensors: expected a safetensors file"):
        SmallResNet.load(path)
    save_file({"a": torch.zeros(1)}, path, {"network": "VGG"})
    with pytest.raises(ValueError, match="got a file of 'VGG'"):
        SmallResNet.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="names no network"):
        SmallResNet.load(path)


@pytest.mark.parametrize("change", ["missing", "unused", "misshapen"])
def test_wrong_weights_name_the_keys(tmp_path, change: str) -> None:
    path = tmp_path / "net.safetensors"
    SmallResNet(width=8).save(path)
    weights = load_file(path)
    if change == "missing":
        del weights["head.bias"]
    elif change == "unused":
        weights["head.extra"] = torch.zeros(1)
    else:
        weights["head.bias"] = torch.zeros(3)
    header = {"network": "SmallResNet", "config": '{"channels":1,"num_classes":10,"width":8}'}
    save_file(weights, path, header)
    with pytest.raises(ValueError, match="head.extra" if change == "unused" else "head.bias"):
        SmallResNet.load(path)


@pytest.mark.parametrize("sizes", [(0, 10, 8), (1, 1, 8), (1, 10, 0)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected an integer of at least"):
        SmallResNet(*sizes)
