"""Masks, and what else inversion cannot take, are refused where they enter, with a sentence."""

import pytest
import torch

from genviews import Inverter, Rng, ToyGenerator, invert
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.data.store_source import StoreSource
from genviews.identity import identify
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.start import MeanStart
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.types import Status

TOY = ToyGenerator()
IMAGES = TOY.synthesize(TOY.map(TOY.sample(Rng(0).streams(range(3)))))
KNOWN = torch.ones(3, 1, 8, 8)


def into_invert(masks, folder):
    invert(TOY, IMAGES, masks, inverter=Inverter(steps=0))


def into_an_encoder(masks, folder):
    InversionEncoder(EncoderConfig.for_generator(TOY, widths=(8,)))(IMAGES, masks)


def into_a_source(masks, folder):
    MemorySource(ImageSet(images=IMAGES, ids=("a", "b", "c")), masks)


def into_a_store(masks, folder):
    store = ShardStore(folder, identify(images=3, shard_size=3))
    store.write(0, Shard(tensors={"images": IMAGES, "masks": masks}, ids=("a", "b", "c")))
    StoreSource(folder, TOY.image_spec)


ENTRIES = [into_invert, into_an_encoder, into_a_source, into_a_store]


@pytest.mark.parametrize("enter", ENTRIES, ids=lambda enter: enter.__name__)
@pytest.mark.parametrize(
    ("masks", "got"),
    [
        (255 * KNOWN, "from 255 to 255"),
        ((255 * KNOWN).to(torch.uint8), "from 255 to 255"),
        (1 - 2 * KNOWN, "from -1 to -1"),
        (torch.where(torch.arange(8) < 4, 1.5, KNOWN), "from 1 to 1.5"),
    ],
    ids=["0 to 255", "bytes", "-1 to 1", "above 1"],
)
@pytest.mark.as_installed
def test_of_another_scale(enter, masks, got, tmp_path):
    with pytest.raises(ValueError, match=f"masks: expected values from 0 .* {got};"):
        enter(masks, tmp_path)


@pytest.mark.parametrize("enter", ENTRIES, ids=lambda enter: enter.__name__)
@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 3, 8, 8), (3, 1, 4, 4), (2, 1, 8, 8)])
@pytest.mark.as_installed
def test_of_another_shape(enter, shape, tmp_path):
    if enter is into_a_store and shape[0] != 3:
        pytest.skip("a shard has a row of each tensor for each id")
    with pytest.raises(ValueError, match="masks: expected shape"):
        enter(torch.ones(shape), tmp_path)


def test_truth_values_and_weights_are_masks():
    half = KNOWN.clone()
    half[..., :4] = 0
    numbers, truth = (
        invert(TOY, IMAGES, masks, inverter=Inverter(steps=2)) for masks in (half, half > 0)
    )
    assert torch.equal(numbers.latents, truth.latents)
    into_invert(0.5 * KNOWN, None)


def test_one_without_a_known_pixel_or_number_fails_its_image_alone():
    masks = KNOWN.clone()
    masks[0], masks[1, 0, 0, 0] = 0, torch.nan
    result = invert(TOY, IMAGES, masks, inverter=Inverter(steps=2))
    assert (result.status == Status.FAILED).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("images", "given", "message"),
    [
        (IMAGES[0], {}, r"images: expected shape \(B, C, H, W\), .*; add the axis of the batch"),
        (IMAGES[:, :, :4], {}, "images: expected shape"),
        (IMAGES * 127.5 + 127.5, {}, r"images: expected values in \[-1, 1\], got values up to 2"),
        ((IMAGES * 127.5 + 127.5).to(torch.uint8), {}, "images: expected a float tensor"),
        (IMAGES.numpy(), {}, "images: expected a float tensor"),
        (IMAGES, {"inverter": MeanStart()}, "inverter: expected an Inverter, got MeanStart"),
        (IMAGES, {"generator": torch.nn.Linear(4, 64)}, "generator: .* wrap a network or function"),
        (IMAGES, {"masks": KNOWN.numpy()}, "masks: expected a tensor"),
        (IMAGES, {"rows": [0]}, "rows: expected 3"),
    ],
)
@pytest.mark.as_installed
def test_other_input_that_inversion_cannot_take(images, given, message):
    given = {"generator": TOY, "masks": None, "inverter": Inverter(steps=0), **given}
    generator, masks = given.pop("generator"), given.pop("masks")
    with pytest.raises((TypeError, ValueError), match=message):
        invert(generator, images, masks, **given)


def test_unknown_pixels_may_be_of_any_scale():
    masks = KNOWN.clone()
    masks[..., 4:] = 0
    images = torch.where(masks == 0, 1e6, IMAGES)
    assert invert(TOY, images, masks, inverter=Inverter(steps=1)).failed() == []
