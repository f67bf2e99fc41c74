"""Features equal the network called by hand; the cache loses nothing and mixes nothing up."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer, resnet18
from torchvision.transforms import v2

from genviews.augment.geometry import HorizontalFlip, RandomCrop
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.evaluate.extractor import (
    AugmentedFeatures,
    FeatureExtractor,
    centre_view,
    check_features,
    extract_features,
    l2_normalise,
)
from genviews.identity import describe
from genviews.load.images import load_images
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.rng import Rng
from genviews.types import ImageSpec


class LayerNorm2d(nn.LayerNorm):
    def forward(self, maps):
        return super().forward(maps.movedim(1, -1)).movedim(-1, 1)


class MyRMSNorm(nn.Module):
    """A norm that torch does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, maps):
        return self.weight * maps / maps.square().mean(1, keepdim=True).sqrt()


def trained(seed: int = 0) -> nn.Module:
    """A small network with batch norm and dropout, whose statistics have seen images."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    net(torch.randn(32, 1, 8, 8))
    return net


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.rand(11, 1, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return ImageSet(images=pixels, ids=tuple(f"{i}.png" for i in range(11)))


class Counted:
    """A function that counts the images that it saw."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.seen, self.fails_after = 0, fails_after

    def __describe__(self):
        return {}

    def __call__(self, images):
        if self.fails_after is not None and self.seen >= self.fails_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return images.flatten(1)


class TestExtractor:
    def test_eval_mode_without_gradients_and_modes_restored(self, images):
        net = trained()
        net[1].eval()  # mixed modes
        found = FeatureExtractor(net, batch_size=3)(images.images)
        assert [m.training for m in net] == [True, False, True, True, True]
        assert not found.requires_grad
        assert torch.is_grad_enabled()
        torch.testing.assert_close(found, net.eval()(images.images).detach())

    def test_mean_and_std_are_torchvisions(self):
        pixels = torch.rand(2, 3, 5, 5)
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        extract = FeatureExtractor(
            nn.Flatten(), mean=[2 * m - 1 for m in mean], std=[2 * s for s in std]
        )
        wanted = v2.Normalize(mean, std)(pixels).flatten(1)
        torch.testing.assert_close(extract(2 * pixels - 1), wanted, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(("size", "short"), [(112, 128), (24, None), (64, 65)])
    @pytest.mark.parametrize("shape", [(50, 37), (200, 301)])
    def test_centre_view_is_torchvisions(self, size, short, shape):
        photo = torch.rand(2, 3, *shape)
        wanted = v2.Compose([v2.Resize(short or size, antialias=True), v2.CenterCrop(size)])(photo)
        torch.testing.assert_close(centre_view(photo, size, short), wanted, atol=1e-5, rtol=0)

    def test_input_size_of_an_external_encoder(self):
        shapes = []
        extract = FeatureExtractor(lambda x: shapes.append(x.shape) or x.mean((2, 3)), input_size=9)
        assert extract(torch.rand(2, 3, 20, 30)).shape == (2, 3)
        assert shapes == [(2, 3, 9, 9)]

    def test_unit_rows(self):
        h = FeatureExtractor(nn.Flatten(), normalise=True)(torch.rand(4, 3, 8, 8))
        torch.testing.assert_close(h.norm(dim=1), torch.ones(4), atol=1e-4, rtol=0)
        assert bool((l2_normalise(torch.zeros(2, 3)) == 0).all())

    def test_maps_of_one_pixel_are_rows_and_larger_ones_refused(self):
        assert FeatureExtractor(nn.AdaptiveAvgPool2d(1))(torch.rand(2, 3, 4, 4)).shape == (2, 3)
        with pytest.raises(ValueError, match=r"expected one row .* got \(2, 3, 4, 4\); pool maps"):
            FeatureExtractor(nn.Identity())(torch.rand(2, 3, 4, 4))

    def test_representation_encoder(self, images):
        encoder = RepresentationEncoder(RepresentationConfig(channels=1))
        extract = FeatureExtractor(encoder, allow_untrained=True)
        torch.testing.assert_close(extract(images.images), encoder.features(images.images))

    def test_untrained_network_is_refused(self):
        with pytest.raises(ValueError, match="ResNet whose 20 norms are as they were first set"):
            FeatureExtractor(resnet18(num_classes=4))
        assert FeatureExtractor(resnet18(num_classes=4), allow_untrained=True)

    @pytest.mark.parametrize(
        "norm",
        [
            lambda: nn.LayerNorm([4, 8, 8]),
            lambda: nn.GroupNorm(2, 4),
            lambda: nn.BatchNorm2d(4),
            lambda: nn.BatchNorm2d(4, track_running_stats=False),
            lambda: nn.BatchNorm2d(4, affine=False),
            lambda: nn.InstanceNorm2d(4, affine=True),
            lambda: LayerNorm2d(4),  # as timm's: a subclass, of the user's own
            lambda: MyRMSNorm(),
        ],
        ids=["layer", "group", "batch", "no statistics", "no scale", "instance", "sub", "own"],
    )
    def test_every_norm_tells_an_untrained_network(self, norm):
        """Also where a residual branch starts at 0; one step of training is enough to pass."""
        network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm(), nn.Flatten())
        for scale in (None, 0.0):
            for part in network[1].parameters():
                if scale is not None and part.ndim and bool((part == 1).all()):
                    nn.init.constant_(part, scale)
            with pytest.raises(ValueError, match="Sequential whose 1 norms are as they were first"):
                FeatureExtractor(network)
        assert FeatureExtractor(network, allow_untrained=True)
        step = torch.optim.SGD(network.parameters(), lr=0.1)
        (network(torch.rand(5, 1, 8, 8)) * torch.rand(256)).sum().backward()
        step.step()
        assert FeatureExtractor(network)(torch.rand(2, 1, 8, 8)).shape == (2, 256)

    def test_a_transformer(self):
        sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}
        network = VisionTransformer(image_size=8, patch_size=4, num_classes=3, **sizes)
        with pytest.raises(ValueError, match="VisionTransformer whose 5 norms are"):
            FeatureExtractor(network)
        nn.init.normal_(network.encoder.ln.weight)
        assert FeatureExtractor(network)(torch.rand(2, 3, 8, 8)).shape == (2, 3)

    def test_what_has_no_norm_passes(self):
        for norms in ((), (nn.LayerNorm(3, elementwise_affine=False),)):
            assert FeatureExtractor(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), *norms))

    def test_method_of_a_module_is_checked_and_known_by_its_weights(self):
        net = trained()
        described = describe(FeatureExtractor(net.forward))
        assert described["network"]["function"] == "torch:Sequential.forward"
        assert described["module"] == describe(FeatureExtractor(net))["module"]

    def test_not_finite_names_the_row(self):
        with pytest.raises(ValueError, match=r"features of 3 images: .* others in row 1;"):
            FeatureExtractor(lambda x: x.flatten(1).log())(
                torch.tensor([1, -1, 2.0])[:, None, None, None]
            )

    def test_sizes_are_checked(self):
        with pytest.raises(ValueError, match="resize_to: expected at least input_size"):
            FeatureExtractor(nn.Flatten(), input_size=10, resize_to=9)

    @pytest.mark.parametrize("most", [255.0, 1.0])
    def test_pixels_of_another_range(self, most):
        images = torch.linspace(0, most, 16 * 16).view(16, 1, 4, 4)
        with pytest.raises(ValueError, match=r"images of the extractor: expected values in \[-1"):
            FeatureExtractor(nn.Flatten())(images)


class TestCheckFeatures:
    def test_constant_rows(self):
        with pytest.raises(ValueError, match="same row for all 5 images; the encoder"):
            check_features(torch.full((5, 3), 0.1) + 1e-9 * torch.randn(5, 3))

    def test_one_feature_that_moves_is_enough(self):
        h = torch.ones(5, 3)
        h[2, 1] = 1.1
        check_features(h)

    def test_a_collapsed_network_is_refused(self, images):
        with pytest.raises(ValueError, match="rows that differ"):
            extract_features(FeatureExtractor(lambda x: x.flatten(1) * 0 + 1), images)


class TestCache:
    def test_equal_with_and_without_folder_and_in_other_shards(self, images, tmp_path):
        extract = FeatureExtractor(trained())
        plain = extract_features(extract, images)
        for size in (3, 4, 100):
            for _ in range(2):  # made, then read
                kept = extract_features(extract, images, folder=tmp_path, shard_size=size)
                assert kept.ids == plain.ids == images.ids
                torch.testing.assert_close(kept.h, plain.h)

    def test_second_call_computes_nothing(self, images, tmp_path):
        count = Counted()
        extract = FeatureExtractor(count)
        for _ in range(2):
            extract_features(extract, images, folder=tmp_path, shard_size=4)
        assert count.seen == 11

    def test_killed_run_loses_the_shard_in_flight(self, images, tmp_path):
        killed = FeatureExtractor(Counted(fails_after=8))
        with pytest.raises(KeyboardInterrupt):
            extract_features(killed, images, folder=tmp_path, shard_size=4)
        rest = Counted()
        done = []
        found = extract_features(
            FeatureExtractor(rest),
            images,
            folder=tmp_path,
            shard_size=4,
            progress=lambda *told: done.append(told[2:]),
        )
        assert rest.seen == 3
        assert done == [(8, 11), (11, 11)]
        assert torch.equal(found.h, images.images.flatten(1))

    def test_another_network_source_or_setting_is_another_key(self, images, tmp_path):
        other = ImageSet(images=-images.images, ids=images.ids)
        flipped = {"transform": HorizontalFlip(1.0), "rng": Rng(0)}
        cases = [
            (FeatureExtractor(trained()), images, {}),
            (FeatureExtractor(trained(1)), images, {}),
            (FeatureExtractor(trained(), normalise=True), images, {}),
            (FeatureExtractor(trained(), input_size=6), images, {}),
            (FeatureExtractor(trained(), mean=0.5), images, {}),
            (FeatureExtractor(trained()), other, {}),
            (FeatureExtractor(trained()), images, flipped),
        ]
        for extract, source, options in cases:
            kept = extract_features(extract, source, folder=tmp_path, **options)
            assert torch.equal(kept.h, extract_features(extract, source, **options).h)
        assert len(list(tmp_path.iterdir())) == len(cases)

    def test_settings_that_are_no_weights_count(self, tmp_path, images):
        near, far = (
            nn.Sequential(nn.AvgPool2d(2), nn.Flatten()),
            nn.Sequential(nn.AvgPool2d(4), nn.Flatten()),
        )
        shapes = [
            extract_features(FeatureExtractor(n), images, folder=tmp_path).h.shape
            for n in (near, far)
        ]
        assert shapes == [(11, 16), (11, 4)]

    def test_a_function_is_known_by_its_code(self, images, tmp_path):
        found = [
            extract_features(FeatureExtractor(function), images, folder=tmp_path).h
            for function in (lambda x: x.flatten(1), lambda x: -x.flatten(1))
        ]
        assert torch.equal(found[0], -found[1])

    def test_unreadable_files_are_named_and_the_rest_kept(self, tmp_path, write_photo):
        for i in range(5):
            write_photo(tmp_path / "photos" / f"{i}.png", 40 * i, size=(8, 8), seed=i)
        for bad in ("1.png", "2.png"):  # a whole shard of two
            (tmp_path / "photos" / bad).write_bytes(b"no picture")
        (tmp_path / "photos" / "2.png").rename(tmp_path / "photos" / "10.png")
        source = load_images(tmp_path / "photos", ImageSpec(channels=3, height=8, width=8))
        assert source.ids == ("0.png", "1.png", "10.png", "3.png", "4.png")
        for folder in (None, tmp_path / "cache", tmp_path / "cache"):
            found = extract_features(
                FeatureExtractor(nn.Flatten()), source, folder=folder, shard_size=1
            )
            assert found.ids == ("0.png", "3.png", "4.png")
            assert [name for name, _ in found.skipped] == ["1.png", "10.png"]
            assert found.h.shape == (3, 192)


class TestAugmented:
    def test_an_images_draw_ignores_its_neighbours(self, images):
        extract, crop = FeatureExtractor(nn.Flatten()), RandomCrop(padding=2)
        whole = extract_features(extract, images, transform=crop, rng=Rng(5), shard_size=4)
        alone = extract_features(
            extract, MemorySource(images.select([2, 7])), transform=crop, rng=Rng(5)
        )
        assert torch.equal(whole.h[[2, 7]], alone.h)

    def test_each_epoch_is_another_draw_that_repeats(self, images, tmp_path):
        features = AugmentedFeatures(
            extractor=FeatureExtractor(nn.Flatten()),
            images=images,
            transform=RandomCrop(padding=2),
            rng=Rng(5),
            folder=tmp_path,
        )
        assert torch.equal(features(1), features(1))
        assert not torch.equal(features(0), features(1))

    def test_transform_needs_rng(self, images):
        with pytest.raises(ValueError, match="rng of the transform"):
            extract_features(FeatureExtractor(nn.Flatten()), images, transform=HorizontalFlip())
