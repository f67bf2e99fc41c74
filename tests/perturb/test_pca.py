"""The statistics find the true axes, and the steps along them have the stated distribution."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import stats
from sklearn.decomposition import PCA as SklearnPCA

from genviews.generators.toy import ToyGenerator
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.rng import Rng
from genviews.types import LatentSpec

TOY = ToyGenerator()
STATISTICS = PCAStatistics(torch.eye(4)[[2, 0, 3]], torch.tensor([2.0, 1.0, 0.5]))


def sample_w(generator: ToyGenerator, num: int, seed: int) -> np.ndarray:
    """The w that `measure` sees, all at once."""
    streams = Rng(seed, "pca statistics").streams(range(num))
    label = torch.arange(num) % generator.num_classes if generator.num_classes else None
    return generator.map(generator.sample(streams), label)[:, 0].double().numpy()


# --- statistics -----------------------------------------------------------------------------------


def test_measure_recovers_the_true_axes() -> None:
    found = PCAStatistics.measure(TOY, num_samples=20_000, seed=1)
    cosines = (found.components.double() @ TOY.axes.double().T).abs()
    torch.testing.assert_close(cosines, torch.eye(4, dtype=torch.float64), rtol=0.0, atol=0.05)
    torch.testing.assert_close(found.stddev.double(), TOY.stddev.double(), rtol=0.02, atol=0.0)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_measure_equals_sklearn_on_the_same_samples(num_classes: int) -> None:
    toy = ToyGenerator(num_classes=num_classes)
    found = PCAStatistics.measure(toy, num_samples=1500, num_components=3, seed=4, batch_size=400)
    oracle = SklearnPCA(3, svd_solver="full").fit(sample_w(toy, 1500, 4))
    np.testing.assert_allclose(found.stddev, oracle.explained_variance_**0.5, rtol=1e-5)
    signs = np.sign((found.components.numpy() * oracle.components_).sum(1, keepdims=True))
    np.testing.assert_allclose(found.components, signs * oracle.components_, atol=1e-5)


def test_the_largest_entry_of_a_component_is_positive() -> None:
    for seed in range(5):
        components = PCAStatistics.measure(ToyGenerator(seed=seed), num_samples=500).components
        largest = components.abs().argmax(1, keepdim=True)
        assert (components.gather(1, largest) > 0).all()


def test_the_batch_size_changes_nothing() -> None:
    one, other = (PCAStatistics.measure(TOY, 300, batch_size=size) for size in (7, 300))
    torch.testing.assert_close(one.components, other.components, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(one.stddev, other.stddev, rtol=1e-6, atol=0.0)


def test_measure_says_what_it_did_and_leaves_no_gradients() -> None:
    found = PCAStatistics.measure(TOY, num_samples=50, num_components=2, seed=9)
    assert repr(found) == "PCAStatistics(n=2, D=4, num_samples=50, seed=9)"
    assert found.components.dtype == found.stddev.dtype == torch.float32
    assert not found.components.requires_grad
    assert torch.is_grad_enabled()


def test_directions_that_never_vary_have_a_stddev_of_zero() -> None:
    """Three samples span two directions; round-off must not make a variance negative."""
    found = PCAStatistics.measure(TOY, num_samples=3)
    assert (found.stddev[:2] > 1e-3).all()
    assert (found.stddev[2:] < 1e-6).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "num_samples: expected an integer of at least 2"),
        ({"num_components": 0}, "num_components: expected an integer of at least 1"),
        ({"batch_size": 0}, "batch_size: expected an integer of at least 1"),
    ],
)
def test_measure_checks_its_counts(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PCAStatistics.measure(TOY, **arguments)


def test_a_saved_file_reads_back(tmp_path: Path) -> None:
    found = PCAStatistics.measure(TOY, num_samples=50, seed=2)
    path = tmp_path / "pca.safetensors"
    path.write_text("older")
    found.save(path)
    again = PCAStatistics.load(str(path))
    assert torch.equal(again.components, found.components)
    assert torch.equal(again.stddev, found.stddev)
    assert (again.num_samples, again.seed) == (50, 2)
    again.check(TOY)
    with pytest.raises(ValueError, match="it now renders other images"):
        again.check(ToyGenerator(seed=1))
    assert list(tmp_path.iterdir()) == [path]  # no partial file is left


def test_unknown_origin_stays_unknown(tmp_path: Path) -> None:
    STATISTICS.save(tmp_path / "pca.safetensors")
    again = PCAStatistics.load(tmp_path / "pca.safetensors")
    assert (again.num_samples, again.seed) == (None, None)


def test_the_published_npz_reads(tmp_path: Path) -> None:
    components, stddev = np.eye(6)[:5], np.arange(5.0, 0.0, -1.0)
    np.savez(tmp_path / "stats.npz", components=components, stddev=stddev, mean=np.zeros(6))
    found = PCAStatistics.load(tmp_path / "stats.npz")
    np.testing.assert_array_equal(found.components, components)
    np.testing.assert_array_equal(found.stddev, stddev)
    assert found.num_samples is None


def test_a_file_without_the_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "stats.npz", components=np.eye(3), lat_mean=np.ones(3))
    with pytest.raises(ValueError, match=r"arrays components and stddev, got components, lat_mean"):
        PCAStatistics.load(tmp_path / "stats.npz")
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"in w.safetensors: expected the arrays .*, got w;"):
        PCAStatistics.load(tmp_path / "w.safetensors")


def test_a_file_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "stats.npz", components=objects, stddev=objects)
    with pytest.raises(
        ValueError, match=r"expected arrays of numbers in an \.npz file, got something else"
    ):
        PCAStatistics.load(tmp_path / "stats.npz")


@pytest.mark.parametrize(
    ("components", "stddev", "message"),
    [
        (
            torch.eye(3),
            torch.ones(2),
            r"stddev of PCA statistics: expected shape \(3,\), got \(2,\)",
        ),
        (torch.zeros(0, 3), torch.ones(0), "number of PCA components: .* got 0"),
        (torch.eye(2), -torch.ones(2), "finite stddev of at least 0"),
        (torch.eye(2) / 0, torch.ones(2), "finite components"),
    ],
)
def test_statistics_are_checked(components, stddev, message: str) -> None:
    fields = SimpleNamespace(components=components, stddev=stddev)  # past the tests' type check
    with pytest.raises(ValueError, match=message):
        PCAStatistics.__post_init__(fields)


# --- perturbation ---------------------------------------------------------------------------------


def steps(perturb: PCA, batch: int = 100, num_views: int = 20) -> torch.Tensor:
    """What is added to every row: (B * K, L, D)."""
    streams = Rng(7).streams(range(batch))
    return perturb(TOY, torch.zeros(batch, 4, 4), num_views, streams).flatten(0, 1)


def test_every_selected_row_moves_by_the_same_step() -> None:
    moved = steps(PCA("1-3", 1.0, STATISTICS))
    assert torch.equal(moved[:, 1], moved[:, 2])
    assert torch.equal(moved[:, 1], moved[:, 3])
    assert not moved[:, 0].any()


def test_a_step_lies_on_one_component_drawn_uniformly() -> None:
    moved = steps(PCA("all", 1.0, STATISTICS))[:, 0] @ STATISTICS.components.T
    assert ((moved != 0).sum(1) == 1).all()
    counts = (moved != 0).sum(0).numpy()
    assert counts.sum() == len(moved)
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("sigma", [0.5, 3.0])
@pytest.mark.parametrize(
    ("scaling", "scale"),
    [("stddev", (2.0, 1.0, 0.5)), ("eigenvalue", (4.0, 1.0, 0.25)), ("none", (1.0, 1.0, 1.0))],
)
def test_a_step_is_uniform_up_to_sigma_times_the_scale(sigma, scaling, scale) -> None:
    moved = steps(PCA("all", sigma, STATISTICS, scaling))[:, 0] @ STATISTICS.components.T
    for along, size in zip(moved.T, scale, strict=True):
        bound = sigma * size
        along = along[along != 0].numpy()
        assert stats.kstest(along, "uniform", args=(-bound, 2 * bound)).pvalue > 0.01
        assert 0.98 * bound < np.abs(along).max() <= bound


def test_component_and_size_of_a_step_are_independent() -> None:
    moved = steps(PCA("all", 1.0, STATISTICS, "none"))[:, 0] @ STATISTICS.components.T
    along = [column[column != 0].numpy() for column in moved.T]
    assert stats.kruskal(*along).pvalue > 0.01


def test_only_the_first_components_are_drawn() -> None:
    moved = steps(PCA("all", 1.0, STATISTICS, num_components=2))[:, 0] @ STATISTICS.components.T
    assert (moved != 0).any(0).tolist() == [True, True, False]


def test_twenty_components_are_the_default() -> None:
    many = PCAStatistics(torch.eye(32), torch.ones(32))
    toy = ToyGenerator()
    toy.latent_spec = LatentSpec(space="w+", num_layers=4, dim=32)  # only the shape is used here
    moved = PCA("0", 1.0, many)(toy, torch.zeros(300, 4, 32), 4, Rng(0).streams(range(300)))
    assert (moved != 0).any(0).any(0).any(0).tolist() == [True] * 20 + [False] * 12


def test_names_tell_the_scalings_apart() -> None:
    names = [PCA("fine", 2.0, STATISTICS, s).name for s in ("stddev", "eigenvalue", "none")]
    assert names == ["pca_fine_2.00", "pca-eigenvalue_fine_2.00", "pca-none_fine_2.00"]


def test_statistics_of_another_generator_are_refused() -> None:
    wide = PCAStatistics(torch.eye(5), torch.ones(5))
    with pytest.raises(
        ValueError, match=r"PCA: expected shape \(n, 4\), got \(5, 5\); measure them"
    ):
        PCA("all", 1.0, wide)(TOY, torch.zeros(1, 4, 4), 1, Rng(0).streams([0]))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="sigma of PCA: expected a finite number"):
        PCA("fine", float("nan"), STATISTICS)
    with pytest.raises(ValueError, match="num_components of PCA"):
        PCA("fine", 1.0, STATISTICS, num_components=0)
    misspelt = PCA("fine", 1.0, STATISTICS)
    object.__setattr__(misspelt, "scaling", "std")  # past the type check of the tests
    with pytest.raises(ValueError, match=r"scaling of PCA: .* did you mean 'stddev'"):
        misspelt.__post_init__()
