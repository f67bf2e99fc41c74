"""Transfer to detection: a pretrained ResNet in torchvision's Faster R-CNN with a C4 head.

    conv1 .. layer3 -> proposals -> RoIAlign 14x14 -> layer4 -> EXTRA NORM -> mean -> class, box

Everything is fine-tuned. The head after `layer4` begins with a batch norm of its own, because the
statistics of pretrained features differ from one objective to the next.

Source: Jahanian et al. 2022, arXiv:2106.05258, App. E and transfer_detection, after He et al. 2020,
arXiv:1911.05722, App. A ("R50-C4").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, fail
from genviews.modes import gradients, own_dropout
from genviews.rng import Rng
from genviews.weights import load_strictly

__all__ = [
    "DetectionConfig",
    "c4_detector",
    "check_backbone",
    "detection_optimizer",
    "detection_step",
]

_TRUNK = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """The detector and how it is fine-tuned; the defaults are the papers'.

    Args:
        num_classes: without the background.
        short_sides: of training images in pixels, one drawn for each; tests use the last.
        long_side: no image's long side is larger, in pixels.
        mean: subtracted from images in [-1, 1]; one a channel.
        std: divides them then.
        regions: of each training image that the head learns from.
        batch: images a step.
        learning_rate: after the warm-up, for 8 images a step.
        warmup: steps from `learning_rate` / 1000 up to it.
        milestones: steps at which the rate falls to a tenth.
        steps: in all.
        seed: of the layers that are not pretrained.
    """

    num_classes: int = 20
    short_sides: tuple[int, ...] = tuple(range(480, 801, 32))
    long_side: int = 1333
    mean: Sequence[float] = (-0.03, -0.088, -0.188)  # ImageNet's, 2 m - 1
    std: Sequence[float] = (0.458, 0.448, 0.45)
    regions: int = 512
    batch: int = 8
    learning_rate: float = 0.02
    warmup: int = 100
    milestones: tuple[int, ...] = (18_000, 22_000)
    steps: int = 24_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_classes", "regions", "batch", "steps"):
            check_count(getattr(self, name), name)

    @classmethod
    def lasting(cls, steps: int) -> DetectionConfig:
        """The papers' fine-tuning in another number of steps, milestones in proportion.

        Example:
            >>> DetectionConfig.lasting(2400).milestones
            (1800, 2200)
        """
        paper = cls()
        share = steps / paper.steps
        return cls(
            steps=steps,
            warmup=round(share * paper.warmup) if share < 1 else paper.warmup,
            milestones=tuple(round(share * step) for step in paper.milestones),
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        Example:
            >>> [round(DetectionConfig().rate(step), 5) for step in (0, 50, 100, 18_000, 23_000)]
            [2e-05, 0.01001, 0.02, 0.002, 0.0002]
        """
        low = 0.001
        warm = 1.0 if step >= self.warmup else low + (1 - low) * step / self.warmup
        return self.learning_rate * warm * 0.1 ** sum(step >= m for m in self.milestones)


class _Head(nn.Module):
    """`layer4`, the extra norm, and the mean over positions."""

    def __init__(self, resnet: Any) -> None:  # noqa: ANN401 (no types)
        super().__init__()
        self.layer4 = resnet.layer4
        self.norm = nn.BatchNorm2d(resnet.inplanes)

    def forward(self, regions: Float[Tensor, "R F h w"]) -> Float[Tensor, "R G"]:
        """Return one row of features for each region."""
        maps: Tensor = self.norm(self.layer4(regions))
        return maps.mean((2, 3))


def c4_detector(
    weights: Mapping[str, Tensor], config: DetectionConfig, *, architecture: str = "resnet50"
) -> Any:  # noqa: ANN401  (torchvision's FasterRCNN has no types)
    """Return torchvision's `FasterRCNN` around the weights of a ResNet, in train mode.

    Called with images in [-1, 1], a list of (3, H, W), and with targets of `boxes` (x1, y1, x2, y2
    in pixels) and `labels` from 1, it returns losses; in eval mode, detections.

    Args:
        weights: of the backbone under torchvision's names, without `fc`; what
            `RepresentationEncoder.export_backbone` writes.
        config: see `DetectionConfig`.
        architecture: a ResNet of torchvision; its strides are in the 3x3 convolutions, as the
            papers' detector has them for these weights.

    Raises:
        ValueError: missing, unused or misshapen weights, which are named.

    Source: see the module's docstring; thresholds and proposals as in detectron2's C4.
    Differs: torchvision's RoIAlign is not shifted by half a pixel; plain batch norms, which
        `nn.SyncBatchNorm.convert_sync_batchnorm` makes synchronous across GPUs; running statistics
        are not estimated anew (PreciseBN) before a test.
    """
    from torchvision.models import get_model
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.models.detection.rpn import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    with own_dropout(Rng(config.seed, "detector"), torch.device("cpu")):
        resnet = get_model(architecture, weights=None)
        resnet.fc = nn.Identity()
        load_strictly(resnet, dict(weights), "weights of the detector's backbone")
        # Up to `layer3`, under the ResNet's own names.
        trunk: Any = nn.Sequential(OrderedDict((name, getattr(resnet, name)) for name in _TRUNK))
        trunk.out_channels = resnet.inplanes // 2
        head = _Head(resnet)
        detector = FasterRCNN(
            trunk,
            rpn_anchor_generator=AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),)),
            box_roi_pool=MultiScaleRoIAlign(["0"], output_size=14, sampling_ratio=0),
            box_head=head,
            box_predictor=FastRCNNPredictor(resnet.inplanes, config.num_classes + 1),
            min_size=config.short_sides,
            max_size=config.long_side,
            image_mean=list(config.mean),
            image_std=list(config.std),
            box_batch_size_per_image=config.regions,
            rpn_pre_nms_top_n_train=12_000,
            rpn_pre_nms_top_n_test=6_000,
            rpn_post_nms_top_n_train=2_000,
            rpn_post_nms_top_n_test=1_000,
        )
    check_backbone(detector, weights)
    return detector.train()


def check_backbone(detector: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless a detector holds exactly these weights in its backbone.

    Args:
        detector: of `c4_detector`, before its first step.
        weights: as given to it.
    """
    trunk = detector.get_submodule("backbone").state_dict()
    head = detector.get_submodule("roi_heads.box_head.layer4").state_dict()
    held = {**trunk, **{f"layer4.{name}": value for name, value in head.items()}}
    absent = sorted(held.keys() ^ weights.keys())
    both = sorted(held.keys() & weights.keys())
    other = [name for name in both if not torch.equal(held[name].cpu(), weights[name].cpu())]
    if absent or other:
        fail(
            "backbone of the detector",
            expected="the pretrained weights, every one",
            got=f"{len(other)} that differ {other[:3]}, {len(absent)} in one only {absent[:3]}",
            remedy="build it with `c4_detector` from the file that `export_backbone` wrote",
        )


def detection_optimizer(detector: nn.Module, config: DetectionConfig) -> torch.optim.SGD:
    """Return SGD over all weights: momentum 0.9, weight decay 1e-4 but 0 for norms.

    Source: detectron2's defaults (WEIGHT_DECAY_NORM 0), as in transfer_detection.
    """
    norms = [p for m in detector.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    plain = {id(p) for p in norms}
    rest = [p for p in detector.parameters() if id(p) not in plain]
    groups: list[dict[str, Any]] = [{"params": rest}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=config.rate(0), momentum=0.9, weight_decay=1e-4)


@gradients()
def detection_step(
    detector: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Sequence[Tensor],
    targets: Sequence[Mapping[str, Tensor]],
    *,
    step: int,
    config: DetectionConfig,
) -> dict[str, float]:
    """Make one step of fine-tuning; return the losses before it, by torchvision's names.

    What torchvision draws at random (image size, sampled proposals) depends on the config's seed
    and the step alone; the global generator is left as it was.

    Args:
        detector: in train mode.
        optimizer: of `detection_optimizer`.
        images: (3, H, W) in [-1, 1].
        targets: `boxes` and `labels` of each image.
        step: counted from 0; sets the learning rate.
        config: as for the detector.

    Raises:
        ValueError: a loss that is not finite.
    """
    for group in optimizer.param_groups:
        group["lr"] = config.rate(step)
    device = next(detector.parameters()).device
    with own_dropout(Rng(config.seed, f"detection/{step}"), device):
        losses = detector(list(images), [dict(target) for target in targets])
        total = torch.stack(list(losses.values())).sum()
    if not bool(total.isfinite()):
        fail(
            f"loss of detection step {step}",
            expected="a finite number",
            got={name: float(value.detach()) for name, value in losses.items()},
            remedy="lower learning_rate, and check the boxes",
        )
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    optimizer.step()
    return {name: float(value.detach()) for name, value in losses.items()}
