"""Classifiers of torchvision and timm take their settings from their own configurations.

Nothing is downloaded: torchvision's weights state their settings without being there, and a
stand-in with timm's documented functions takes its place.
"""

from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import v2

from genviews.classify.model import Classifier, predict_logits
from genviews.types import ImageSpec

FACES = ImageSpec(channels=3, height=40, width=48)
UNIT = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))


class Pooled(nn.Module):
    """A network of any number of classes, for images of any size."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        weight = torch.randn(75, classes, generator=random)
        self.weight = nn.Parameter(weight)
        self.num_classes = classes

    def forward(self, x: Tensor) -> Tensor:
        self.size = tuple(x.shape[1:])
        return nn.functional.adaptive_avg_pool2d(x, 5).flatten(1) @ self.weight


@pytest.mark.parametrize(
    "weights",
    [
        models.ResNet18_Weights.IMAGENET1K_V1,  # 256 to 224, bilinear
        models.EfficientNet_B1_Weights.IMAGENET1K_V2,  # 255 to 240
        models.ConvNeXt_Tiny_Weights.DEFAULT,  # 236 to 224
        models.RegNet_Y_16GF_Weights.IMAGENET1K_SWAG_E2E_V1,  # 384, bicubic
    ],
    ids=str,
)
def test_images_are_what_torchvision_makes_of_them(weights) -> None:
    network = Pooled()
    classifier = Classifier.from_torchvision(weights, FACES, module=network)
    assert classifier.class_names[:2] == ("tench", "goldfish")
    want = network(weights.transforms()(UNIT))
    torch.testing.assert_close(classifier(UNIT * 2 - 1), want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["squeezenet1_1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"])
def test_a_name_will_do(name: str) -> None:
    classifier = Classifier.from_torchvision(
        name, class_names=("tiger cat", "tabby"), module=Pooled()
    )
    assert classifier.image_spec == ImageSpec(channels=3, height=224, width=224)
    assert classifier.module.size == (3, 224, 224)
    names = models.SqueezeNet1_1_Weights.DEFAULT.meta["categories"]
    images = torch.zeros(1, 3, 224, 224)
    everything = Classifier.from_torchvision(name, module=classifier.module)(images)
    columns = [names.index("tiger cat"), names.index("tabby")]
    assert torch.equal(predict_logits(classifier, images), everything[:, columns].detach())


def test_a_network_with_another_head_has_the_classes_that_are_named() -> None:
    classifier = Classifier.from_torchvision("resnet18", class_names=("a", "b"), module=Pooled(2))
    assert classifier(torch.zeros(1, 3, 224, 224)).shape == (1, 2)
    with pytest.raises(ValueError, match="for each of the 2 logits"):
        Classifier.from_torchvision("resnet18", class_names=("a", "b", "c"), module=Pooled(2))


def test_weights_that_cannot_be_fetched_are_told_with_what_to_do(monkeypatch) -> None:
    def offline(name: str, weights) -> nn.Module:
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setattr(models, "get_model", offline)
    with pytest.raises(ValueError, match=r"OSError: .*or give the network as module that you made"):
        Classifier.from_torchvision("resnet18")


def test_the_network_of_the_weights_is_built(monkeypatch) -> None:
    asked = []

    def get_model(name: str, weights) -> nn.Module:
        asked.append((name, weights))
        return models.get_model_builder(name)(weights=None)

    monkeypatch.setattr(models, "get_model", get_model)  # which would download
    weights = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    classifier = Classifier.from_torchvision(weights, ImageSpec(channels=1, height=32, width=32))
    assert asked == [("squeezenet1_1", weights)]
    assert not classifier.training
    assert classifier(torch.zeros(2, 1, 32, 32)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("weights", "names", "message"),
    [
        ("resnet81", (), "did you mean 'resnet18'"),
        ("ResNet18_Weights.V9", (), r"KeyError: 'V9'.*ResNet50_Weights.DEFAULT"),
        (models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT, (), "SemanticSegmentation"),
        (models.detection.SSD300_VGG16_Weights.DEFAULT, (), "those of a classifier of images"),
        (
            "resnet18",
            ("tabby", "tigre cat"),
            r"1000 in all\), got 'tigre cat'; did you mean 'tiger",
        ),
    ],
)
def test_what_is_no_classifier_of_torchvision_is_told(weights, names, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier.from_torchvision(weights, class_names=names, module=Pooled())


class Info:
    def __init__(self, subset: str) -> None:
        self.subset = subset

    def label_descriptions(self, detailed: bool = False, as_dict: bool = False) -> list[str]:
        return ["crane", "heron, grey heron", "crane, machine"]


CONFIG = {
    "input_size": (3, 30, 30),
    "interpolation": "bicubic",
    "mean": (0.4, 0.5, 0.6),
    "std": (0.2, 0.3, 0.4),
    "crop_pct": 0.9,
    "crop_mode": "center",
}


@pytest.fixture
def timm(monkeypatch):
    """timm's functions, as its documentation has them."""
    timm, data = types.ModuleType("timm"), types.ModuleType("timm.data")
    timm.data, timm.made = data, []

    def create_model(model_name: str, pretrained: bool = False) -> nn.Module:
        if model_name != "tiny_net.in3":
            raise OSError("cannot find the requested files in the local cache")
        timm.made.append((model_name, pretrained))
        return model()

    def model(classes: int = 3, **config: object) -> nn.Module:
        made = Pooled(classes).train()
        made.pretrained_cfg = {"tag": "in3", "num_classes": 3, **CONFIG, **config}
        return made

    def resolve_model_data_config(model: nn.Module) -> dict[str, object]:
        return {key: model.pretrained_cfg[key] for key in CONFIG}

    timm.create_model, timm.model = create_model, model
    timm.list_models = lambda pretrained: ["tiny_net.in3", "far_net.in3"] if pretrained else []
    data.resolve_model_data_config = resolve_model_data_config
    data.infer_imagenet_subset = lambda model: "imagenet-3" if model.num_classes == 3 else None
    data.ImageNetInfo = Info
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return timm


def test_images_are_what_timm_makes_of_them(timm) -> None:
    classifier = Classifier.from_timm("tiny_net.in3", FACES)
    assert timm.made == [("tiny_net.in3", True)]
    assert classifier.class_names == ("crane (0)", "heron", "crane (2)")
    # timm: the short side to floor(30 / 0.9), the middle, mean and std.
    theirs = v2.Compose(
        [
            v2.Resize(33, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(30),
            v2.Normalize(CONFIG["mean"], CONFIG["std"]),
        ]
    )
    want = classifier.module(theirs(UNIT))
    torch.testing.assert_close(classifier(UNIT * 2 - 1), want, rtol=1e-4, atol=1e-3)
    assert not classifier.training


def test_a_model_of_timm_will_do(timm) -> None:
    own = timm.model(classes=2)  # a new head: timm knows no names
    classifier = Classifier.from_timm(own, class_names=("cat", "dog"))
    assert classifier.image_spec == ImageSpec(channels=3, height=30, width=30)
    named = timm.model(label_names=["n1", "n2", "n3"], label_descriptions={"n1": "cat"})
    assert Classifier.from_timm(named).class_names == ("cat", "n2", "n3")
    assert Classifier.from_timm(named, class_names=("n3", "cat")).num_classes == 2
    square = ImageSpec(channels=3, height=48, width=48)
    assert Classifier.from_timm(timm.model(crop_mode="squash"), square).num_classes == 3


@pytest.mark.parametrize("first", ["first", ("first", "second")])
def test_channels_are_those_that_a_model_of_timm_takes(timm, first) -> None:
    """Its settings have three whatever `in_chans` was; the mean of mean and std is ours."""
    grey = nn.Sequential()
    grey.first, grey.rest = nn.Conv2d(1, 3, 1), timm.model()
    grey.pretrained_cfg, grey.num_classes = {"first_conv": first, **CONFIG}, 3
    classifier = Classifier.from_timm(grey)
    assert classifier.image_spec == ImageSpec(channels=1, height=30, width=30)
    images = torch.rand(2, 1, 33, 33)
    classifier = Classifier.from_timm(grey, ImageSpec(channels=1, height=33, width=33))
    want = grey((images[:, :, 2:32, 2:32] - 0.5) / 0.3)
    torch.testing.assert_close(classifier(images * 2 - 1), want, rtol=1e-4, atol=1e-3)


def test_what_timm_does_not_give_is_told(timm, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"model of timm with weights: .*did you mean 'tiny_net"):
        Classifier.from_timm("tiny_net.in4")
    for name in ("far_net", "hf-hub:who/far_net"):
        with pytest.raises(ValueError, match=r"requested files.*fetch the weights where there is"):
            Classifier.from_timm(name)
    with pytest.raises(ValueError, match=r"class names: .*none known.*pass class_names"):
        Classifier.from_timm(timm.model(classes=2))
    with pytest.raises(ValueError, match="returns 5 logits, labels have 2 classes"):
        Classifier.from_timm(timm.model(classes=5), class_names=("a", "b"))
    with pytest.raises(ValueError, match="crop mode 'border', images of 40x48"):
        Classifier.from_timm(timm.model(crop_mode="border"), FACES)
    with pytest.raises(ValueError, match=r"interpolation of the weights.*got 'lanczos'"):
        Classifier.from_timm(timm.model(interpolation="lanczos"))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"the package timm.*pip install 'genviews\[hub\]'"
    ):
        Classifier.from_timm("tiny_net.in3")
