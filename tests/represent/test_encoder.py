"""Encoders against torchvision, parameter counts, and files that do not fit."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from genviews.classify.convert import from_unit_range
from genviews.identity import key
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder, make_backbone

IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32).sin()
HAS_TIMM = importlib.util.find_spec("timm") is not None


def encoder(backbone="compact", **fields):
    return RepresentationEncoder(RepresentationConfig(backbone=backbone, **fields))


class TestBackbones:
    @pytest.mark.parametrize(
        ("name", "features"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)]
    )
    @pytest.mark.parametrize("stem", ["imagenet", "small"])
    def test_feature_sizes(self, name, features, stem):
        with torch.device("meta"):  # shapes alone
            found = encoder(name, stem=stem).eval()
            assert found.backbone(IMAGES.to("meta")).shape == (2, features)
        assert found.features_dim == features

    def test_resnet101_has_the_layers_of_torchvision(self):
        with torch.device("meta"):
            network, features = make_backbone("resnet101", channels=3)
            theirs = torchvision.models.resnet101()
        wanted = {k: v.shape for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
        assert {k: v.shape for k, v in network.state_dict().items()} == wanted
        assert features == 2048

    def test_stems(self):
        """The small stem keeps the size, so layer 4 of a 32-pixel image has 4 x 4 places, not 1."""
        sizes = {}
        for stem in ("imagenet", "small"):
            network, _ = make_backbone("resnet18", channels=3, stem=stem)
            network.layer4.register_forward_hook(
                lambda module, inputs, output, stem=stem: sizes.update({stem: output.shape[-1]})
            )
            network.eval()(IMAGES)
        assert sizes == {"imagenet": 1, "small": 4}

    @pytest.mark.parametrize("stem", ["imagenet", "small"])
    def test_grey_images(self, stem):
        found = encoder("resnet18", channels=1, stem=stem).eval()
        assert found(IMAGES[:, :1]).shape == (2, 512)
        conv = found.backbone.conv1
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert float(conv.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_compact(self, channels):
        found = encoder(channels=channels)
        count = sum(p.numel() for p in found.backbone.parameters())
        assert count == 94_976 + 20 * 16 * (channels - 1)
        assert found(torch.zeros(2, channels, 32, 32)).shape == (2, 128)

    def test_compact_needs_multiples_of_8(self):
        with pytest.raises(ValueError, match=r"divisible by 8, got \(28, 28\)"):
            encoder()(torch.zeros(1, 3, 28, 28))

    def test_unknown(self):
        with pytest.raises(ValueError, match="did you mean 'resnet18'"):
            make_backbone("resnet19", channels=3)

    def test_image_size_is_for_timm(self):
        with pytest.raises(ValueError, match="image_size: expected none"):
            make_backbone("resnet18", channels=3, image_size=32)

    def test_timm_is_not_there(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(ImportError, match=r"pip install 'genviews\[hub\]'"):
            make_backbone("timm:vit_tiny_patch16_224", channels=3)

    @pytest.mark.skipif(not HAS_TIMM, reason="timm is not installed (genviews[hub])")
    def test_vit_of_timm(self):
        import timm

        found = encoder("timm:vit_tiny_patch16_224", image_size=32).eval()
        theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32).eval()
        theirs.load_state_dict(found.backbone.state_dict())
        torch.testing.assert_close(found(IMAGES), theirs(IMAGES))
        assert found.features_dim == 192
        with pytest.raises(ValueError, match="a network of timm"):
            make_backbone("timm:no_such_network", channels=3)


class TestEncoder:
    def test_projection_has_length_1(self):
        u = encoder().project(torch.randn(3, 4, 128))
        assert u.shape == (3, 4, 128)
        torch.testing.assert_close(u.norm(dim=-1), torch.ones(3, 4))

    def test_projection_under_autocast_is_float32_of_length_1(self):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            u = encoder().project(torch.randn(64, 128))
        assert u.dtype == torch.float32
        assert float((u.detach().norm(dim=-1) - 1).abs().max()) < 1e-6

    def test_heads(self):
        """The paper's head is 2048-2048-128."""
        with torch.device("meta"):
            shapes = {
                kind: [tuple(p.shape) for p in encoder("resnet50", head=kind).head.parameters()]
                for kind in ("mlp", "linear")
            }
        assert shapes["mlp"] == [(2048, 2048), (2048,), (128, 2048), (128,)]
        assert shapes["linear"] == [(128, 2048), (128,)]

    def test_without_normalisation_u_is_the_heads_output(self):
        found = encoder(head="linear", normalize=False, projection=7)
        h = torch.randn(5, 128)
        torch.testing.assert_close(found.project(h), h @ found.head.weight.T + found.head.bias)

    def test_leading_axes(self):
        found = encoder().eval()
        views = torch.randn(3, 2, 3, 16, 16)
        torch.testing.assert_close(found(views)[1], found(views[1]), atol=1e-6, rtol=1e-5)

    def test_features_are_those_of_eval_mode_and_of_any_chunk(self):
        found = encoder().train()
        images = torch.randn(5, 3, 16, 16)
        for _ in range(3):
            found(images)
        wanted = found.eval()(images).detach()
        found.train()
        torch.testing.assert_close(found.features(images, 2), wanted, atol=1e-6, rtol=1e-5)
        assert all(part.training for part in found.modules())
        assert not found.features(images).requires_grad

    def test_mean_and_std_are_those_of_torchvision(self):
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        ours, theirs = from_unit_range(mean, std)
        plain = encoder().eval()
        found = encoder(mean=tuple(ours), std=tuple(theirs)).eval()
        unit = (IMAGES + 1) / 2
        wanted = plain(torchvision.transforms.functional.normalize(unit, mean, std))
        torch.testing.assert_close(found(IMAGES), wanted, atol=1e-5, rtol=1e-4)

    def test_seed(self):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        config = RepresentationConfig()
        one, two, three = (RepresentationEncoder(config, seed=s) for s in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), before)
        for name, value in one.state_dict().items():
            assert torch.equal(value, two.state_dict()[name])
            if name.endswith("conv1.weight") or name in ("head.0.weight", "backbone.expand.weight"):
                assert not torch.equal(value, three.state_dict()[name]), name

    def test_custom_backbone(self):
        config = RepresentationConfig(backbone="custom", channels=1, features=64)
        found = RepresentationEncoder(config, nn.Flatten())
        assert found(torch.zeros(2, 1, 8, 8)).shape == (2, 64)
        with pytest.raises(ValueError, match=r"expected shape \(2, 64\), got \(2, 16\)"):
            found(torch.zeros(2, 1, 4, 4))
        pools = [nn.Sequential(nn.MaxPool2d(2, stride), nn.Flatten()) for stride in (1, 2, 2)]
        keys = [key(RepresentationEncoder(config, pool)) for pool in pools]
        assert keys[0] != keys[1] == keys[2]

    def test_channels(self):
        with pytest.raises(ValueError, match=r"images: expected shape \(\.\.\., 3, H, W\)"):
            encoder()(torch.zeros(2, 1, 8, 8))

    def test_custom_without_module_or_module_without_custom(self):
        with pytest.raises(ValueError, match="backbone: expected a module"):
            encoder("custom", features=4)
        with pytest.raises(ValueError, match="backbone: expected a module"):
            RepresentationEncoder(RepresentationConfig(), nn.Flatten())

    @pytest.mark.parametrize(
        "change",
        [{"features": 3}, {"backbone": "custom"}, {"mean": (0.0, 0.0)}, {"std": (0.0,)}],
    )
    def test_config_is_checked(self, change):
        with pytest.raises(ValueError, match=r"features|mean|std"):
            RepresentationConfig(**change)


class TestFiles:
    def test_round_trip(self, tmp_path):
        found = encoder("resnet18", channels=1, stem="small", head="linear", mean=(0.25,))
        for _ in range(2):
            found(torch.randn(4, 1, 16, 16))
        found.save(tmp_path / "e.safetensors", {"licence": "MIT"})
        read = RepresentationEncoder.load(tmp_path / "e.safetensors")
        assert read.config == found.config
        assert not read.training
        images = torch.randn(3, 1, 16, 16)
        assert torch.equal(read(images), found.eval()(images))
        h = torch.randn(3, 512)
        assert torch.equal(read.project(h), found.project(h))
        with safe_open(tmp_path / "e.safetensors", "pt") as file:
            assert file.metadata()["licence"] == "MIT"

    def test_custom_round_trip(self, tmp_path):
        config = RepresentationConfig(backbone="custom", channels=1, features=5)

        def make():
            return nn.Sequential(nn.Flatten(), nn.Linear(16, 5))

        found = RepresentationEncoder(config, make())
        found.save(tmp_path / "e.safetensors")
        read = RepresentationEncoder.load(tmp_path / "e.safetensors", make())
        images = torch.randn(3, 1, 4, 4)
        assert torch.equal(read(images), found(images))
        with pytest.raises(ValueError, match="backbone: expected a module"):
            RepresentationEncoder.load(tmp_path / "e.safetensors")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda w: w.pop("head.2.bias"), r"missing head\.2\.bias"),
            (lambda w: w.update(extra=torch.zeros(1)), r"unused extra"),
            (
                lambda w: w.update({"head.2.bias": torch.zeros(3)}),
                r"head\.2\.bias has shape \(3,\), not \(128,\)",
            ),
        ],
    )
    def test_weights_that_do_not_fit(self, change, message, tmp_path):
        path = tmp_path / "e.safetensors"
        encoder().save(path)
        with safe_open(path, "pt") as file:
            header = file.metadata()
        weights = load_file(path)
        change(weights)
        save_file(weights, path, header)
        with pytest.raises(ValueError, match=message):
            RepresentationEncoder.load(path)

    def test_other_files(self, tmp_path):
        save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
        with pytest.raises(ValueError, match="names no network"):
            RepresentationEncoder.load(tmp_path / "other.safetensors")
        kind = {"network": "RepresentationEncoder"}
        for config, message in (
            ("{", "expected a JSON object, got no JSON"),
            ('{"mean": [0], "std": [1], "width": 3}', "unexpected keyword argument 'width'"),
            ("{}", r"\(KeyError: 'mean'\); name a file that `RepresentationEncoder.save`"),
        ):
            header = {**kind, "config": config}
            save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", header)
            with pytest.raises(ValueError, match=f"RepresentationEncoder in other.*{message}"):
                RepresentationEncoder.load(tmp_path / "other.safetensors")
        (tmp_path / "text.safetensors").write_text("weights")
        with pytest.raises(ValueError, match="expected a safetensors file"):
            RepresentationEncoder.load(tmp_path / "text.safetensors")
        with pytest.raises(FileNotFoundError):
            RepresentationEncoder.load(tmp_path / "none.safetensors")


class TestExport:
    def test_loads_strictly_into_torchvision(self, tmp_path):
        found = encoder("resnet18").eval()
        found.export_backbone(tmp_path / "b.safetensors")
        with torch.device("meta"):
            theirs = torchvision.models.resnet18()
        theirs.fc = nn.Identity()
        theirs.load_state_dict(load_file(tmp_path / "b.safetensors"), strict=True, assign=True)
        torch.testing.assert_close(found(IMAGES), theirs.eval()(IMAGES), atol=1e-5, rtol=1e-4)

    def test_small_stem(self, tmp_path):
        found = encoder("resnet18", stem="small").eval()
        found.export_backbone(tmp_path / "b.safetensors")
        with torch.device("meta"):
            theirs = torchvision.models.resnet18()
            theirs.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        theirs.fc = theirs.maxpool = nn.Identity()
        theirs.load_state_dict(load_file(tmp_path / "b.safetensors"), strict=True, assign=True)
        torch.testing.assert_close(found(IMAGES), theirs.eval()(IMAGES), atol=1e-5, rtol=1e-4)

    def test_header(self, tmp_path):
        encoder("resnet18", mean=(0.5,)).export_backbone(tmp_path / "b.safetensors")
        with safe_open(tmp_path / "b.safetensors", "pt") as file:
            header = file.metadata()
        assert header["architecture"] == "resnet18"
        assert header["stem"] == "imagenet"
        assert header["input"] == "(image in [-1, 1] - [0.5]) / [1.0]"
