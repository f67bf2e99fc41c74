"""The black-box generator: probing, checking, and finding a function by name."""

from __future__ import annotations

import textwrap

import pytest
import torch
from torch import nn

from genviews.generators.callable import CallableGenerator, load_callable
from genviews.rng import Rng
from genviews.types import ImageSpec


def decode(z):
    return torch.sin(z).reshape(len(z), 1, 2, 3)


def z_of(batch, width=6):
    return Rng(0).streams(range(batch)).normal(1, (width,))[:, 0]


class TestCallableGenerator:
    def test_probe_finds_the_image_shape(self):
        generator = CallableGenerator(decode, z_dim=6)
        assert generator.image_spec == ImageSpec(channels=1, height=2, width=3)
        assert generator.latent_spec.shape == (1, 6)
        assert generator.latent_spec.space == "z"

    def test_latent_is_z_and_the_image_is_the_function_of_it(self):
        generator = CallableGenerator(decode, z_dim=6)
        z = z_of(4)
        assert torch.equal(generator.map(z), z[:, None])
        assert torch.equal(generator.synthesize(generator.map(z)), decode(z))

    def test_psi_shrinks_z_towards_0(self):
        generator = CallableGenerator(decode, z_dim=6)
        z = z_of(4)
        assert torch.equal(generator.map(z, psi=0.25)[:, 0], 0.25 * z)
        assert torch.equal(generator.map(z, psi=0.25, cutoff=1)[:, 0], 0.25 * z)
        assert torch.equal(generator.map(z, psi=0.25, cutoff=0)[:, 0], z)

    def test_the_class_is_told_to_the_renderer_and_is_not_in_the_latent(self):
        seen = []

        def conditional(z, c):
            seen.append(c)
            return decode(z) * c.sum(1)[:, None, None, None]

        generator = CallableGenerator(conditional, z_dim=6, num_classes=3)
        label = torch.tensor([2, 0])
        latents = generator.map(z_of(2), label, psi=0.5)
        assert torch.equal(latents[:, 0], 0.5 * z_of(2))
        assert generator.renders_label
        generator.synthesize(latents, label)
        assert torch.equal(seen[-1], torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
        generator.synthesize_views(latents[:, None].repeat(1, 3, 1, 1), 0, label)
        assert seen[-1].argmax(1).tolist() == [2, 2, 2, 0, 0, 0]
        for wrong in (None, torch.tensor([3, 0]), torch.tensor([0])):
            with pytest.raises(ValueError, match="label: expected 2 class indices"):
                generator.synthesize(latents, wrong)

    def test_a_module_is_moved_and_listed_with_the_generator(self):
        module = nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (1, 2, 3)))
        generator = CallableGenerator(module, z_dim=6)
        assert len(list(generator.parameters())) == 2
        assert generator.double().synthesize(z_of(2).double()[:, None]).dtype == torch.float64

    def test_a_given_spec_is_probed_as_well(self):
        spec = ImageSpec(channels=1, height=2, width=3)
        generator = CallableGenerator(decode, z_dim=6, image_spec=spec)
        assert (generator.image_spec, generator.notes) == (spec, ())
        with pytest.raises(ValueError, match=r"values in \[-1, 1\], got values from -2"):
            CallableGenerator(lambda z: decode(z) * 255, z_dim=6, image_spec=spec)

    def test_images_of_another_shape_than_given_are_refused(self):
        spec = ImageSpec(channels=3, height=2, width=2)
        with pytest.raises(ValueError, match=r"output of .*decode.*expected shape \(5, 3, 2, 2\)"):
            CallableGenerator(decode, z_dim=6, image_spec=spec)

    def test_prints_as_its_call(self):
        assert repr(CallableGenerator(decode, z_dim=6)) == "CallableGenerator(decode, z_dim=6)"

    @pytest.mark.parametrize(
        ("function", "error", "message"),
        [
            (nn.Linear, TypeError, "function: expected a function .* or an instance of the class"),
            (lambda z: [z], TypeError, "expected a tensor of images, got list of 0; return the"),
            (lambda z: None, TypeError, "expected a tensor of images, got NoneType; return the"),
            (lambda z: decode(z) > 0, TypeError, "expected a tensor of images, got torch.bool"),
            (
                lambda z: decode(z)[0],
                ValueError,
                r"one image for each of the 5 rows .* \(1, 2, 3\)",
            ),
            (lambda z: decode(z)[:1], ValueError, r"got \(1, 1, 2, 3\); keep the batch dimension"),
            (
                lambda z: decode(z).flatten(1),
                ValueError,
                r"expected shape \(5, C, H, W\).*or give the size",
            ),
            (
                lambda z: decode(z) * 255,
                ValueError,
                r"values in \[-1, 1\], got values from -2.* up to 2.*say the range",
            ),
            (lambda z: decode(z) * torch.nan, ValueError, "nan or inf in 64 of 64 samples"),
            (lambda z: decode(z) - decode(z).mean(), ValueError, "same image for the same z"),
            (
                lambda z: decode(z.expand(9, len(z), 6).reshape(-1, 6)),
                ValueError,
                r"got \(45, 1, 2, 3\)|got \(9, 1, 2, 3\)",
            ),
        ],
    )
    def test_errors(self, function, error, message):
        with pytest.raises(error, match=message):
            CallableGenerator(function, z_dim=6)

    @pytest.mark.parametrize("counts", [(0, 0), (6, -1), (10**9, 0)])
    def test_counts(self, counts):
        with pytest.raises(ValueError, match="expected an integer of at least"):
            CallableGenerator(decode, z_dim=counts[0], num_classes=counts[1])


class TestLoadCallable:
    @pytest.fixture(autouse=True)
    def package(self, tmp_path, monkeypatch):
        folder = tmp_path / "pictures"
        folder.mkdir()
        (folder / "__init__.py").touch()
        code = """
            from types import SimpleNamespace
            import torch
            def decode(z):
                return torch.sin(z).reshape(len(z), 1, 2, 3)
            def conditional(z, c):
                return decode(z) * c.sum(1)[:, None, None, None]
            net = SimpleNamespace(decode=decode)
            number = 3
            nothing = None
        """
        (folder / "models.py").write_text(textwrap.dedent(code))
        (folder / "needy.py").write_text("import a_package_that_is_absent")
        monkeypatch.syspath_prepend(tmp_path)

    @pytest.mark.parametrize("name", ["pictures.models:decode", "pictures.models:net.decode"])
    def test_finds_it(self, name):
        generator = load_callable(name, 6)
        assert torch.equal(generator.synthesize(z_of(2)[:, None]), decode(z_of(2)))

    def test_passes_the_other_arguments_on(self):
        spec = ImageSpec(channels=1, height=2, width=3)
        generator = load_callable("pictures.models:conditional", 6, spec, num_classes=2)
        assert (generator.image_spec, generator.num_classes) == (spec, 2)

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("pictures.models", ValueError, "'pictures.models': expected package.module:function"),
            ("pictures.models:", ValueError, "name both, with a colon between"),
            (":decode", ValueError, "name both, with a colon between"),
            (".models:decode", ValueError, "expected package.module:function"),
            ("absent.models:decode", ValueError, "no module named 'absent'; install the package"),
            ("pictures.absent:decode", ValueError, "no module named 'pictures.absent'"),
            ("pictures.needy:decode", ValueError, "no module named 'a_package_that_is_absent'"),
            (
                "pictures.models:decod",
                ValueError,
                "an attribute 'decod' of pictures.models, got none; it has conditional, decode",
            ),
            ("pictures.models:nothing", ValueError, "an attribute 'nothing' of pictures.models"),
            ("pictures.models:net.encode", ValueError, "an attribute 'encode' of .*it has decode"),
            ("pictures.models:number.real.x", ValueError, "an attribute 'x' of .*got none"),
            ("pictures.models:number", TypeError, "models:number': expected a function .* got 3"),
        ],
    )
    def test_errors(self, name, error, message):
        with pytest.raises(error, match=message):
            load_callable(name, 6)
