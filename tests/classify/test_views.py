"""Views as training data, against the toy generator called one image at a time."""

from __future__ import annotations

import pytest
import torch

from genviews.classify.views import LatentViewSource, ViewSource
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix
from genviews.rng import Rng

IDS = [f"img-{i}" for i in range(6)]


def latents_of(generator: ToyGenerator, count: int = 6) -> torch.Tensor:
    label = torch.arange(count) % generator.num_classes if generator.num_classes else None
    return generator.map(generator.sample(Rng(4).streams(range(count))), label)


class Counting(ToyGenerator):
    """Counts the images that it renders."""

    rendered = 0

    def synthesize(self, latents: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        self.rendered += len(latents)
        return super().synthesize(latents)


def test_reconstructions_are_rendered_once() -> None:
    generator = Counting()
    latents = latents_of(generator)
    source = LatentViewSource(generator, latents)
    assert isinstance(source, ViewSource)
    assert len(source) == 6
    want = ToyGenerator().synthesize(latents)
    for epoch in range(3):
        torch.testing.assert_close(source.batch([4, 1], epoch), want[[4, 1]])
    assert generator.rendered == 6


def test_perturbed_views_are_those_of_the_images_stream() -> None:
    generator = ToyGenerator()
    latents = latents_of(generator)
    perturbation = Isotropic("fine", 0.5)
    source = LatentViewSource(generator, latents, perturbation, seed=9, ids=IDS)
    batch = source.batch([5, 0, 2], epoch=7)
    for got, i in zip(batch, [5, 0, 2], strict=True):
        streams = Rng(9, "training views").streams([f"{IDS[i]}/7"])
        views = perturbation(generator, latents[i : i + 1], 1, streams)
        torch.testing.assert_close(got, generator.synthesize(views[0])[0])


def test_views_are_fresh_each_epoch_and_the_same_in_any_batch() -> None:
    generator = ToyGenerator()
    source = LatentViewSource(generator, latents_of(generator), StyleMix("fine"), seed=1)
    both = source.batch([3, 4], 0)
    torch.testing.assert_close(source.batch([4], 0)[0], both[1])
    torch.testing.assert_close(source.batch([4, 3], 0)[1], both[0])
    assert not torch.allclose(source.batch([3, 4], 1), both)
    other = LatentViewSource(generator, latents_of(generator), StyleMix("fine"), seed=2)
    assert not torch.allclose(other.batch([3, 4], 0), both)


def test_style_mixing_stays_within_the_class_of_a_conditional_generator() -> None:
    generator = ToyGenerator(num_classes=3)
    latents = latents_of(generator)
    labels = torch.arange(6) % 3
    source = LatentViewSource(generator, latents, StyleMix("all"), labels=labels)
    streams = Rng(0, "training views").streams(["2/0"])
    want = StyleMix("all")(generator, latents[[2]], 1, streams, labels[[2]])
    torch.testing.assert_close(source.batch([2], 0), generator.synthesize(want[:, 0]))


@pytest.mark.as_installed
def test_misuse_is_explained() -> None:
    generator = ToyGenerator()
    latents = latents_of(generator)
    with pytest.raises(ValueError, match=r"ids of the latents: expected 6, .*, got 2"):
        LatentViewSource(generator, latents, ids=["a", "b"])
    with pytest.raises(ValueError, match=r"labels of LatentViewSource: .* \(6\), got \(3,\)"):
        LatentViewSource(generator, latents, labels=torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="latents: expected shape"):
        LatentViewSource(generator, latents[:, :2])
