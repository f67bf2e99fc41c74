"""Rendering in chunks equals one image at a time, shares what can be shared and leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genviews.generators.stylegan2 import StyleGAN2
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix
from genviews.render import render
from genviews.rng import Rng
from tests.networks import small_stylegan2

SHAPE = (1, 8, 8)


class Recorder(ToyGenerator):
    """A toy generator that writes down what it is asked for: images, and shared rows or None."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int | None]] = []

    def synthesize(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        self.asked.append((len(latents), None))
        return super().synthesize(latents)

    def synthesize_views(
        self, latents: Tensor, shared_rows: int = 0, label: Tensor | None = None
    ) -> Tensor:
        self.asked.append((latents.shape[0] * latents.shape[1], shared_rows))
        images = super().synthesize(latents.flatten(0, 1))
        return images.unflatten(0, latents.shape[:2])


def views(batch: int, num_views: int, layers: str = "fine") -> Tensor:
    toy, streams = ToyGenerator(), Rng(0).streams(range(batch))
    latents = toy.map(toy.sample(streams))
    return Isotropic(layers, 1.0)(toy, latents, num_views, streams)


def one_by_one(latents: Tensor) -> Tensor:
    toy = ToyGenerator()
    images = [toy.synthesize(latent[None]) for latent in latents.reshape(-1, 4, 4)]
    return torch.cat(images).reshape(*latents.shape[:-2], *SHAPE)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 6, 7, 64])
@pytest.mark.parametrize(("batch", "num_views"), [(1, 1), (4, 3), (3, 7), (1, 64), (5, 1)])
def test_chunks_equal_one_at_a_time(batch: int, num_views: int, batch_size: int) -> None:
    latents = views(batch, num_views)
    images = render(ToyGenerator(), latents, batch_size=batch_size)
    torch.testing.assert_close(images, one_by_one(latents), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_latents_without_views_render_to_images(batch_size: int) -> None:
    latents = views(5, 1)[:, 0]
    images = render(ToyGenerator(), latents, batch_size=batch_size)
    torch.testing.assert_close(images, one_by_one(latents), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "num_views", "batch_size", "sizes"),
    [
        (5, 4, 8, [8, 8, 4]),  # two whole images at a time
        (5, 4, 11, [8, 8, 4]),
        (2, 7, 3, [3, 3, 1, 3, 3, 1]),  # some views of one image at a time
        (2, 4, 4, [4, 4]),
    ],
)
def test_no_chunk_is_larger_than_the_batch_size(batch, num_views, batch_size, sizes) -> None:
    recorder = Recorder()
    render(recorder, views(batch, num_views, "all"), batch_size=batch_size)
    assert [asked for asked, _ in recorder.asked] == sizes


@pytest.mark.parametrize(
    ("layers", "shared"), [("fine", 2), ("middle", 1), ("3", 3), ("coarse", 0), ("all", 0)]
)
def test_rows_before_the_first_that_differs_are_shared(layers: str, shared: int) -> None:
    recorder = Recorder()
    render(recorder, views(3, 4, layers))
    assert recorder.asked == [(12, shared)]


def test_one_image_that_differs_early_decides_for_its_chunk_alone() -> None:
    latents = views(4, 3, "fine")
    latents[3, 2, 0, 0] += 1.0
    recorder = Recorder()
    render(recorder, latents, batch_size=6)
    assert recorder.asked == [(6, 2), (6, 0)]


def test_equal_views_are_rendered_once() -> None:
    recorder = Recorder()
    latents = views(3, 1).repeat(1, 5, 1, 1)
    images = render(recorder, latents)
    assert recorder.asked == [(3, None)]
    assert torch.equal(images, render(recorder, latents[:, 0])[:, None].expand_as(images))


def test_not_a_number_spoils_its_own_view_only() -> None:
    latents = views(2, 3)
    clean = render(ToyGenerator(), latents)
    latents[1, 2, 0, 0] = float("nan")
    images = render(ToyGenerator(), latents)
    assert images[1, 2].isnan().all()
    latents[1, 2] = 0.0
    torch.testing.assert_close(images[0], clean[0], rtol=0.0, atol=1e-6)
    torch.testing.assert_close(images[1, :2], clean[1, :2], rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("layers", ["0", "1", "2", "3", "2-3", "all"])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_generator_that_shares_its_prefix_renders_the_same(layers: str, batch_size: int) -> None:
    torch.manual_seed(0)
    generator, streams = StyleGAN2(small_stylegan2()).eval(), Rng(0).streams(range(3))
    with torch.no_grad():
        latents = generator.map(generator.sample(streams))
        mixed = StyleMix(layers)(generator, latents, 5, streams)
        alone = [generator.synthesize(latent[None]) for latent in mixed.flatten(0, 1)]
    images = render(generator, mixed, batch_size=batch_size)
    expected = torch.cat(alone).unflatten(0, (3, 5))
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-5)


def test_rendering_makes_no_graph_and_restores_the_mode() -> None:
    latents = views(2, 2).requires_grad_()
    images = render(ToyGenerator(), latents)
    assert not images.requires_grad
    assert torch.is_grad_enabled()
    images.add_(1.0)  # an ordinary tensor, not one of inference mode
    with torch.no_grad():
        render(ToyGenerator(), latents)
        assert not torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error() -> None:
    def stop(stage: str, unit: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(ToyGenerator(), views(1, 1), progress=stop)
    assert torch.is_grad_enabled()


def test_progress_counts_images() -> None:
    calls: list[tuple[int, int]] = []
    render(ToyGenerator(), views(3, 5), batch_size=4, progress=lambda *told: calls.append(told[2:]))
    assert calls == [(0, 15), (4, 15), (5, 15), (9, 15), (10, 15), (14, 15), (15, 15)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_have_the_dtype_of_the_latents(dtype: torch.dtype) -> None:
    assert render(ToyGenerator(), views(1, 2).to(dtype)).dtype == dtype


def test_the_result_can_be_kept_elsewhere() -> None:
    assert render(ToyGenerator(), views(1, 2)).device.type == "cpu"
    assert render(ToyGenerator(), views(1, 2), out_device="meta").device.type == "meta"
    assert render(ToyGenerator(), views(1, 2), out_device=torch.device("cpu")).device.type == "cpu"


@pytest.mark.gpu
def test_latents_go_to_the_generator_and_images_stay_there() -> None:
    generator = ToyGenerator().to("cuda")
    latents = views(2, 3)
    images = render(generator, latents, batch_size=4)
    assert images.device.type == "cuda"
    kept = render(generator, latents, batch_size=4, out_device="cpu")
    torch.testing.assert_close(kept, one_by_one(latents), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 4, 4), (0, 3, 4, 4), (2, 0, 4, 4)])
def test_nothing_renders_to_nothing(shape: tuple[int, ...]) -> None:
    assert render(ToyGenerator(), torch.zeros(shape)).shape == (*shape[:-2], *SHAPE)


def test_misuse_is_named() -> None:
    toy = ToyGenerator()
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got 0"):
        render(toy, views(1, 1), batch_size=0)
    with pytest.raises(ValueError, match=r"expected shape \(\.\.\., 4, 4\) in w\+ space"):
        render(toy, torch.zeros(2, 3, 4))
    for shape in [(4, 4), (1, 2, 3, 4, 4)]:
        with pytest.raises(ValueError, match=r"expected shape \(B, L, D\) or \(B, K, L, D\) with"):
            render(toy, torch.zeros(shape))
