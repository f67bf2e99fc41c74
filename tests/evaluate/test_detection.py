"""The detector holds the pretrained weights, runs them as the ResNet does, and learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from genviews.classify.convert import from_unit_range
from genviews.evaluate.detection import (
    DetectionConfig,
    c4_detector,
    check_backbone,
    detection_optimizer,
    detection_step,
)
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder

CONFIG = DetectionConfig(
    num_classes=3, short_sides=(64, 72), long_side=96, warmup=0, learning_rate=0.02, regions=12
)


def weights_of(resnet) -> dict[str, torch.Tensor]:
    """Its weights without `fc`, with statistics that are not those of a fresh one."""
    state = {k: v.clone() for k, v in resnet.state_dict().items() if not k.startswith("fc.")}
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return state


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return weights_of(resnet18())


@pytest.fixture(scope="module")
def made(weights):
    return c4_detector(weights, CONFIG, architecture="resnet18")


@pytest.fixture
def small(weights, made):
    return weights, copy.deepcopy(made)


def scene():
    """Two images with a bright square each."""
    images, targets = [], []
    for corner in (8, 40):
        image = torch.full((3, 80, 100), -0.5)
        image[:, corner : corner + 32, corner : corner + 32] = 0.9
        images.append(image)
        box = torch.tensor([[corner, corner, corner + 32, corner + 32]]).float()
        targets.append({"boxes": box, "labels": torch.tensor([1 + corner // 40])})
    return images, targets


class TestWeights:
    def test_export_of_an_encoder_arrives_in_an_r50(self, tmp_path):
        from safetensors.torch import load_file

        with torch.device("meta"):  # to draw its weights takes longer than the rest
            encoder = RepresentationEncoder(RepresentationConfig(backbone="resnet50"))
        for number, value in enumerate(encoder.to_empty(device="cpu").state_dict().values()):
            value.fill_(number)
        encoder.export_backbone(tmp_path / "backbone.safetensors")
        weights = load_file(tmp_path / "backbone.safetensors")
        detector = c4_detector(weights, DetectionConfig())
        held = detector.state_dict()
        for name, value in encoder.backbone.state_dict().items():
            part = "roi_heads.box_head." if name.startswith("layer4") else "backbone."
            assert torch.equal(held[part + name], value), name
        assert detector.backbone.out_channels == 1024
        assert detector.roi_heads.box_head.norm.num_features == 2048
        assert all(p.requires_grad for p in detector.parameters())
        strides = [m.stride for n, m in detector.named_modules() if n.endswith("layer4.0.conv2")]
        assert strides == [(2, 2)]  # in the 3x3

    def test_the_parts_together_are_the_resnet(self, small):
        weights, detector = small
        resnet = resnet18()
        resnet.load_state_dict({**weights, **resnet.fc.state_dict(prefix="fc.")})
        resnet.fc = nn.Identity()
        image = torch.randn(2, 3, 64, 64)
        detector.eval()
        resnet.eval()
        with torch.no_grad():
            maps = detector.backbone(image)
            assert maps.shape == (2, 256, 4, 4)
            rows = detector.roi_heads.box_head(maps)  # its norm is fresh: the identity but eps
            torch.testing.assert_close(rows, resnet(image), rtol=1e-4, atol=1e-4)

    def test_missing_unused_and_misshapen_weights_are_named(self, weights):
        broken = {k: v for k, v in weights.items() if k != "layer3.0.conv1.weight"}
        with pytest.raises(ValueError, match=r"layer3\.0\.conv1\.weight"):
            c4_detector(broken, CONFIG, architecture="resnet18")
        prefixed = {f"encoder.{k}": v for k, v in weights.items()}
        with pytest.raises(ValueError, match=r"encoder\.conv1\.weight"):
            c4_detector(prefixed, CONFIG, architecture="resnet18")
        with pytest.raises(ValueError, match=r"layer1\.0\.conv1\.weight"):
            c4_detector(
                {**weights, "layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)},
                CONFIG,
                architecture="resnet18",
            )

    def test_changed_weights_are_told(self, small):
        weights, detector = small
        check_backbone(detector, weights)
        with torch.no_grad():
            detector.roi_heads.box_head.layer4[1].conv2.weight[0, 0, 0, 0] += 1e-6
        with pytest.raises(ValueError, match=r"1 that differ \['layer4\.1\.conv2\.weight'\]"):
            check_backbone(detector, weights)

    def test_new_layers_depend_on_the_seed_alone(self, small):
        weights, detector = small
        torch.manual_seed(77)
        before = torch.get_rng_state()
        again = c4_detector(weights, CONFIG, architecture="resnet18").state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(v, again[k]) for k, v in detector.state_dict().items())


class TestStep:
    def test_steps_lower_the_loss_and_move_every_part(self, small):
        _, detector = small
        optimizer = detection_optimizer(detector, CONFIG)
        images, targets = (part[:1] for part in scene())
        before = {k: v.clone() for k, v in detector.named_parameters()}
        state = torch.get_rng_state()
        losses = [
            sum(
                detection_step(detector, optimizer, images, targets, step=s, config=CONFIG).values()
            )
            for s in range(7)
        ]
        assert losses[-1] < 0.9 * losses[0]
        assert torch.equal(torch.get_rng_state(), state)
        for part in (
            "backbone.conv1",
            "backbone.layer3",
            "rpn",
            "box_head.layer4",
            "box_head.norm",
        ):
            moved = [
                not torch.equal(v, before[k]) for k, v in detector.named_parameters() if part in k
            ]
            assert moved
            assert all(moved), part
        detector.eval()
        detector.transform.min_size = (32,)  # few proposals: each one runs through layer4
        with torch.no_grad():
            found = detector(images)
        assert [set(f) for f in found] == [{"boxes", "labels", "scores"}]

    def test_a_step_repeats(self, weights):
        images, targets = (part[:1] for part in scene())
        losses = []
        for noise in (1, 2):
            torch.manual_seed(noise)
            fresh = c4_detector(weights, CONFIG, architecture="resnet18")
            optimizer = detection_optimizer(fresh, CONFIG)
            losses.append(detection_step(fresh, optimizer, images, targets, step=3, config=CONFIG))
        assert losses[0] == losses[1]

    def test_no_finite_loss_is_an_error(self, small):
        _, detector = small
        images, targets = scene()
        with torch.no_grad():
            detector.roi_heads.box_predictor.cls_score.bias[0] = torch.nan
        with pytest.raises(ValueError, match="loss of detection step 0: expected a finite number"):
            detection_step(
                detector,
                detection_optimizer(detector, CONFIG),
                images,
                targets,
                step=0,
                config=CONFIG,
            )

    def test_weight_decay_spares_norms(self, small):
        _, detector = small
        plain, norms = detection_optimizer(detector, CONFIG).param_groups
        assert (plain["weight_decay"], norms["weight_decay"]) == (1e-4, 0.0)
        assert all(p.ndim == 1 for p in norms["params"])
        count = sum(len(g["params"]) for g in (plain, norms))
        assert count == len(list(detector.parameters()))


def test_defaults_are_the_papers():
    config = DetectionConfig()
    assert config.short_sides == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    mean, std = from_unit_range((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert config.mean == pytest.approx(mean)
    assert config.std == pytest.approx(std)
    assert [config.rate(s) for s in (100, 17_999, 18_000, 22_000)] == pytest.approx(
        [0.02, 0.02, 0.002, 0.0002]
    )
