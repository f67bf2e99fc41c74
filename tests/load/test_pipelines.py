"""Folders of diffusers: what is refused without the package, and what is opened with it."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.generators_diffusers import CASES, CODED, PIXELS, compared, made, pipeline_of
from genviews import Inverter, Rng, invert
from genviews.load.generator import check_generator, load_generator
from genviews.load.pipelines import load_pipeline
from genviews.testing.laws import leaves_no_trace

NEEDED = importlib.util.find_spec("diffusers") is None


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


INDEX = {"_class_name": "DDIMPipeline", "scheduler": ["diffusers", "DDIMScheduler"]}
INDEX |= {"unet": ["diffusers", "UNet2DModel"]}


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"_class_name": "FluxPipeline"}, "a known pipeline: .*got FluxPipeline"),
            ({"_class_name": ["code", "Mine"]}, r"a known pipeline: .*got \['code'"),
            ({"unet": ["code", "UNet2DModel"]}, r"unet of .*a class of \['code'\]"),
            ({"unet": ["diffusers", "DiTTransformer2DModel"]}, "got DiTTransformer2DModel"),
            ({"unet": "UNet2DModel"}, "unet of .*library and class"),
            ({"unet": None}, "expected a unet, got none"),
            ({"vae": ["diffusers", "VQModel"]}, "AutoencoderTiny.*got VQModel"),
            ({"scheduler": ["diffusers", "KarrasVeScheduler"]}, "got KarrasVeScheduler"),
        ],
    )
    def test_parts_of_other_kinds_are_named(self, tmp_path, change, told):
        folder = write(tmp_path / "net", model_index=INDEX | change)
        with pytest.raises((ValueError, TypeError), match=told):
            load_generator(folder)

    def test_one_network_alone(self, tmp_path):
        folder = write(tmp_path / "unet", config={"_class_name": "UNet2DModel"})
        with pytest.raises(ValueError, match="one network of a pipeline"):
            load_generator(folder)
        write(folder, config={"_class_name": "ControlNetModel"})
        with pytest.raises(ValueError, match=r"known autoencoder: .*got ControlNetModel"):
            load_generator(folder)

    def test_pickles_are_not_read(self, tmp_path):
        folder = write(tmp_path / "vae", config={"_class_name": "AutoencoderKL"})
        with pytest.raises(
            FileNotFoundError, match=r"diffusion_pytorch_model.safetensors, got none"
        ):
            load_generator(folder)
        (folder / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n.")
        with pytest.raises(FileNotFoundError, match=r"a pickle .*which is not opened"):
            load_generator(folder)

    def test_counts_that_would_fill_the_memory(self, tmp_path):
        times = {"num_train_timesteps": 10**12}
        folder = write(tmp_path / "net", model_index=INDEX, scheduler_config=times)
        with pytest.raises(ValueError, match="num_train_timesteps of the scheduler"):
            load_generator(folder)

    def test_nothing_is_downloaded(self):
        with pytest.raises(FileNotFoundError, match="hf download genviews-tests/nowhere"):
            load_generator("genviews-tests/nowhere")
        with pytest.raises(ValueError, match="expected one of"):
            load_generator("genviews-tests/nowhere.pkl")

    def test_a_word_is_checked_without_reading_weights(self, tmp_path):
        folder = write(tmp_path / "net", model_index=INDEX)
        check_generator(folder)
        with pytest.raises(ValueError, match="is no function"):
            check_generator(folder, z_dim=3)

    def test_a_folder_of_neither(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"card\.json"):
            load_generator(write(tmp_path / "other", config={"model_type": "biggan"}))
        with pytest.raises(FileNotFoundError, match=r"model_index\.json"):
            load_pipeline(tmp_path / "other")

    def test_without_diffusers_it_is_said_how_to_install_it(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "diffusers", None)  # as Python has it for an absent one
        folder = write(tmp_path / "net", model_index=INDEX, scheduler_config={})
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'genviews\[hub\]'"):
            load_generator(folder)


diffusers = pytest.importorskip("diffusers") if not NEEDED else None
needs_diffusers = pytest.mark.skipif(NEEDED, reason="needs diffusers")


@needs_diffusers
@pytest.mark.parametrize("name", CASES)
def test_a_folder_renders_as_its_pipeline(name, tmp_path):
    assert max(compared(name, tmp_path / "made").differences.values()) < 1e-5


@pytest.fixture
def plain(tmp_path):
    """The folder of an unconditional pipeline of pixels, with a scheduler by name."""

    def save(scheduler, **config):
        made("UNet2DModel", **PIXELS, **config).save_pretrained(tmp_path / "net" / "unet")
        getattr(diffusers, scheduler)().save_pretrained(tmp_path / "net" / "scheduler")
        index = INDEX | {"scheduler": ["diffusers", scheduler]}
        return write(tmp_path / "net", model_index=index)

    return save


def z_and_label(generator, count=2):
    z = generator.sample(Rng(0).streams(range(count)))
    return z, generator.labels_in_turn(range(count))


def images_of(generator, z, label):
    with torch.no_grad():
        return generator.synthesize(generator.map(z, label), label)


@needs_diffusers
class TestPixels:
    def test_classes_of_the_network_get_names(self, plain):
        folder = plain("CMStochasticIterativeScheduler", num_class_embeds=3)
        kit = load_generator(folder, class_names=("cat", "dog", "fox"))
        assert kit.generator.class_names == ("cat", "dog", "fox")
        assert "1 step of CMStochasticIterativeScheduler" in " ".join(kit.notes)

    @pytest.mark.parametrize(
        "scheduler",
        [
            "DDIMScheduler",
            "DDPMScheduler",
            "PNDMScheduler",
            "DPMSolverMultistepScheduler",
            "UniPCMultistepScheduler",
            "EulerDiscreteScheduler",
            "EulerAncestralDiscreteScheduler",
            "LCMScheduler",
            "CMStochasticIterativeScheduler",
        ],
    )
    def test_every_sampler_is_a_function_of_each_z(self, plain, scheduler):
        folder = plain(scheduler)
        generator = load_pipeline(folder, steps=3)
        z, _ = z_and_label(generator, 3)
        with leaves_no_trace(generator):
            together = images_of(generator, z, None)
        for i in range(3):
            alone = images_of(generator, z[i, None], None)
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-4)
        latents = generator.map(z).requires_grad_()
        images = generator.synthesize(latents)
        torch.testing.assert_close(images.detach(), together, rtol=1e-4, atol=1e-4)
        (gradient,) = torch.autograd.grad(images[1:].square().sum(), latents)
        assert gradient.isfinite().all()
        assert gradient[1:].flatten(1).any(1).all()
        assert not gradient[0].any()

    def test_one_step_begins_at_pure_noise(self, plain):
        folder = plain("DDIMScheduler")
        generator = load_pipeline(folder, steps=1)
        assert generator.scheduler.config["timestep_spacing"] == "trailing"
        assert "trailing" in " ".join(generator.notes)

    def test_weights_that_do_not_fit_are_named(self, plain):
        folder = plain("DDIMScheduler")
        file = folder / "unet" / "diffusion_pytorch_model.safetensors"
        tensors = load_file(file)
        bias = tensors.pop("conv_in.bias")
        save_file(tensors, file)
        with pytest.raises(ValueError, match=r"UNet2DModel of .*missing conv_in\.bias"):
            load_pipeline(folder)
        save_file(tensors | {"conv_in.bias": bias * float("nan")}, file)
        with pytest.raises(ValueError, match="not finite"):
            load_pipeline(folder)
        file.write_text("version https://git-lfs.github.com/spec/v1\n")
        with pytest.raises(ValueError, match=r"safetensors|Git LFS"):
            load_pipeline(folder)
        config = json.loads((folder / "unet" / "config.json").read_text())
        config["block_out_channels"] = [10**6, 10**6]
        write(folder / "unet", config=config)
        save_file(tensors, file)
        with pytest.raises(ValueError, match="the network of its config"):
            load_pipeline(folder)


@needs_diffusers
class TestAutoencoders:
    @pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny"])
    def test_inversion_starts_by_its_own_encoder(self, tmp_path, kind):
        tiny = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
        tiny |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
        network = made(kind, **(CODED if kind == "AutoencoderKL" else tiny))
        network.save_pretrained(tmp_path / "vae")
        (tmp_path / "vae" / "README.md").write_text("---\nlicense: mit\n---\n")
        config = tmp_path / "vae" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 16}))
        kit = load_generator(tmp_path / "vae")
        z, _ = z_and_label(kit.generator)
        images = images_of(kit.generator, z, None)
        scale = network.config["scaling_factor"]
        with torch.no_grad():
            wanted = network.decode(z.reshape(2, 4, 8, 8) / scale).sample
            found = network.encode(images)
        torch.testing.assert_close(images, wanted)
        latents = found.latent_dist.mean if kind == "AutoencoderKL" else found.latents
        start = kit.inverter.start
        inverted = invert(kit.generator, images, inverter=Inverter(start=start, steps=0))
        torch.testing.assert_close(inverted.latents[:, 0], latents.flatten(1) * scale)
        better = invert(kit.generator, images, inverter=Inverter(start=start, steps=3))
        assert (better.loss < inverted.loss).all()
        assert kit.card["licence"] == {"weights": "mit"}

    def test_attention_by_its_old_names_and_in_half_precision(self, tmp_path):
        network = made("AutoencoderKL", **CODED)
        network.save_pretrained(tmp_path)
        file = tmp_path / "diffusion_pytorch_model.safetensors"
        names = {
            ".to_q.": ".query.",
            ".to_k.": ".key.",
            ".to_v.": ".value.",
            ".to_out.0.": ".proj_attn.",
        }
        old = {}
        for name, tensor in load_file(file).items():
            for now, then in names.items():
                name = name.replace(now, then)
            old[name] = tensor.half()
        file.unlink()
        save_file(old, tmp_path / "diffusion_pytorch_model.fp16.safetensors")
        generator = load_pipeline(tmp_path)
        z, _ = z_and_label(generator)
        with torch.no_grad():
            wanted = network.decode(z.reshape(2, 4, 8, 8) / 0.18215).sample
        torch.testing.assert_close(images_of(generator, z, None), wanted, rtol=0, atol=5e-3)


@needs_diffusers
def test_prompts_and_text_encoders_that_do_not_fit(tmp_path, capfd):
    folder = tmp_path / "net"
    pipeline_of(CASES["sdxl-turbo, 1 step"], tmp_path / "words").save_pretrained(folder)
    capfd.readouterr()
    generator = load_pipeline(folder, class_names={"first": "a b", "second": "c"})
    assert capfd.readouterr() == ("", "")
    assert generator.class_names == ("first", "second")
    assert load_pipeline(folder).num_classes == 0
    with pytest.raises(ValueError, match="at most 9 tokens"):
        load_pipeline(folder, class_names=("a a a a a a a a a",))
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    write(folder / "text_encoder", config=config | {"num_hidden_layers": 10**9})
    with pytest.raises(ValueError, match="a far larger one"):
        load_pipeline(folder)
