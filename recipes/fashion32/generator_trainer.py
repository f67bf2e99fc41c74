"""The loop's body: one object that holds the networks and steps, saves and restores them exactly.

Every random number follows from (seed, index): made image i has its latents, class and noise from
the stream of i, data image i is entry i of a sequence of shuffled epochs. So the state is the
weights, the two Adams and a step count, and a run that was stopped goes on bit for bit as if it had
not been (same machine, same number of threads).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal, NoReturn, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_fraction, check_number, fail, lookup
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.rng import Rng, Streams
from genviews.shard import key_difference, key_text
from recipes.fashion32.adversarial import (
    average_beta,
    discriminator_loss,
    draw_crossover,
    generator_loss,
    gradient_penalty,
    lazy_adam,
    mix_styles,
    relativistic_loss,
    update_average,
)
from recipes.fashion32.discriminator import Discriminator

__all__ = ["FASHION32", "Data", "GeneratorTraining", "Loss", "Trainer"]

Loss = Literal["non-saturating", "relativistic"]

FASHION32 = StyleGAN2Config(
    resolution=32,
    img_channels=1,
    z_dim=64,
    w_dim=64,
    mapping_layers=4,
    channels={4: 64, 8: 64, 16: 64, 32: 32},
    resample_filter=(1.0, 3.0, 3.0, 1.0),
)

# May differ when a run is taken up again: no step depends on them.
FREE_FIELDS = ("images", "checkpoint_every", "samples_every", "metrics_every")
METRICS = ("loss_g", "loss_d", "sign_real", "sign_fake", "r1", "r2")


@dataclass(frozen=True, kw_only=True)
class GeneratorTraining:
    """Settings of a training run; numbers without a source are chosen by us.

    Args:
        generator: the architecture; the discriminator takes the same channels.
        images: data images shown in the whole run, repeats counted.
        batch: images in a step; a multiple of 4 keeps the groups of the minibatch standard
            deviation.
        lr: Adam's learning rate (arXiv 2006.06676, table of hyperparameters, 0.0025).
        betas: Adam's decay rates (arXiv 1912.04958, appendix B).
        loss: "non-saturating", with the penalty R1; or "relativistic", with R1 and R2, and made
            images of the classes of the real ones that they are paired with (`adversarial`).
        r1_gamma: weight of the penalty, of R2 too; the rule of thumb of arXiv 2006.06676's code,
            0.0002 side^2 / batch, gives 0.0064 here.
        r1_interval: steps from one penalty to the next (arXiv 1912.04958, section 3.1).
        average_half_life: of the averaged weights, in images (10,000 in the code of arXiv
            1710.10196).
        average_ramp: the half-life is at most this fraction of the images shown (arXiv 2006.06676).
        mixing: probability that an image gets two latents (arXiv 1812.04948).
        w_avg_beta: per step, of the running mean of w (arXiv 1812.04948, code).
        shared_fakes: step both networks on the same made images, synthesised once. False makes new
            ones for the discriminator after the generator's step, as the paper's code does.
        checkpoint_every, samples_every, metrics_every: in images.
        seed: of everything.
    """

    generator: StyleGAN2Config = field(default_factory=lambda: FASHION32)
    images: int = 2_000_000
    batch: int = 32
    lr: float = 0.0025
    betas: tuple[float, float] = (0.0, 0.99)
    loss: Loss = "non-saturating"
    r1_gamma: float = 0.02
    r1_interval: int = 16
    average_half_life: float = 10_000
    average_ramp: float | None = 0.05
    mixing: float = 0.9
    w_avg_beta: float = 0.995
    shared_fakes: bool = True
    checkpoint_every: int = 20_000
    samples_every: int = 50_000
    metrics_every: int = 3_200
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("images", "batch", "r1_interval", *FREE_FIELDS[1:])
        for name in counts:
            check_count(getattr(self, name), name)
        lookup(self.loss, dict.fromkeys(get_args(Loss)), "loss")
        check_fraction(self.mixing, "mixing")
        check_fraction(self.w_avg_beta, "w_avg_beta")
        check_number(self.r1_gamma, "r1_gamma", least=0)

    def fixed_fields(self) -> dict[str, object]:
        """What must not change when a run is taken up again."""
        return {name: value for name, value in asdict(self).items() if name not in FREE_FIELDS}


@dataclass(frozen=True)
class Data:
    """Images (N, C, H, W) in [-1, 1], and labels (N,) for a class-conditional generator."""

    images: Float[Tensor, "N C H W"]
    labels: Int[Tensor, " N"] | None = None

    def fingerprint(self) -> str:
        """A hash of the pixels and labels, to know the data of a run again."""
        digest = hashlib.blake2b(self.images.contiguous().numpy().data, digest_size=16)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def rows(self, first: int, count: int, rng: Rng) -> Tensor:
        """Rows of entries [first, first + count) of the endless sequence of shuffled epochs."""
        total, rows = len(self.images), []
        for epoch in range(first // total, (first + count - 1) // total + 1):
            order = _epoch_order(rng, epoch, total)
            start = epoch * total
            rows.append(order[max(first - start, 0) : first + count - start])
        return torch.cat(rows)


@lru_cache(maxsize=2)
def _epoch_order(rng: Rng, epoch: int, total: int) -> Tensor:
    return torch.from_numpy(rng.child(f"epoch {epoch}").numpy().permutation(total))


class Trainer:
    """Generator, discriminator, averaged generator and their optimisers, stepped together.

    Attributes:
        steps: steps made.
        images_shown: data images shown, `steps` times the batch.
        generator, discriminator: what is trained.
        average: the running average of the generator's weights: the result.

    Raises:
        ValueError: data of another shape than the generator's, or labels missing or not wanted.
    """

    def __init__(
        self, config: GeneratorTraining, data: Data, device: torch.device | str = "cpu"
    ) -> None:
        self.config, self.data, self.device = config, data, torch.device(device)
        self.rng = Rng(config.seed, "train_generator")
        self.data_hash = data.fingerprint()
        self.steps = 0
        self.sums, self.counts = torch.zeros(2, len(METRICS), dtype=torch.float64)
        self.generator = _new_generator(config.generator, self.rng).to(self.device)
        self.generator.image_spec.check(data.images, "training images")
        self._check_labels()
        self.discriminator = Discriminator(
            image_channels=config.generator.img_channels,
            size=config.generator.resolution,
            channels=config.generator.block_channels,
            num_classes=config.generator.c_dim,
            rng=self.rng.child("discriminator").torch(),
        )
        self.discriminator.to(self.device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.adam_g = lazy_adam(self.generator, lr=config.lr, betas=config.betas)
        self.adam_d = lazy_adam(
            self.discriminator, lr=config.lr, betas=config.betas, interval=config.r1_interval
        )
        self._parameters_g = list(self.generator.parameters())
        self._parameters_d = list(self.discriminator.parameters())

    @property
    def images_shown(self) -> int:
        """Data images shown so far."""
        return self.steps * self.config.batch

    def step(self) -> None:
        """Show one batch: step both networks, the penalty when it is due, then the averages."""
        first, batch = self.images_shown, self.config.batch
        streams = self.rng.child("made").streams(range(first, first + batch))
        rows = self.data.rows(first, batch, self.rng.child("order"))
        real = self.data.images[rows].to(self.device, memory_format=torch.channels_last)
        label = None if self.data.labels is None else self.data.labels[rows].to(self.device)
        made, made_label = self._step_networks(streams, real, label)
        if self.steps % self.config.r1_interval == 0:
            self._step_penalty(real, label, made, made_label)
        beta = average_beta(
            batch=batch,
            images_shown=first,
            half_life=self.config.average_half_life,
            ramp=self.config.average_ramp,
        )
        update_average(self.average, self.generator, beta)
        self.steps += 1

    def _step_networks(
        self, streams: Streams, real: Tensor, label: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Both losses; returns the made images that the discriminator saw, and their classes."""
        # With shared images one graph serves both losses; `inputs` keeps each backward pass to the
        # network it is for.
        shared = self.config.shared_fakes
        real_logits = self.discriminator(real, label)
        images, made_label = self._make(streams, label)
        fake_logits = self.discriminator(images, made_label)
        loss_g = self._losses(fake_logits, real_logits)[0]
        loss_g.backward(inputs=self._parameters_g, retain_graph=shared)
        self._apply(self.adam_g)
        if not shared:
            with torch.no_grad():
                images, made_label = self._make(streams.child("for the discriminator"), label)
            fake_logits = self.discriminator(images, made_label)
        loss_d = self._losses(fake_logits, real_logits)[1]
        loss_d.backward(inputs=self._parameters_d)
        self._apply(self.adam_d)
        values = [loss_g, loss_d, real_logits.sign().mean(), fake_logits.sign().mean()]
        self.sums[:4] += torch.stack([value.detach() for value in values]).cpu()
        self.counts[:4] += 1
        return images, made_label

    def _losses(self, fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's and the discriminator's."""
        if self.config.loss == "relativistic":
            return relativistic_loss(fake, real), relativistic_loss(real, fake)
        return generator_loss(fake), discriminator_loss(fake, real)

    def _step_penalty(
        self, real: Tensor, label: Tensor | None, made: Tensor, made_label: Tensor | None
    ) -> None:
        penalties = [gradient_penalty(self.discriminator, real, label)]
        if self.config.loss == "relativistic":
            penalties.append(gradient_penalty(self.discriminator, made, made_label))
        weight = self.config.r1_gamma / 2 * self.config.r1_interval
        loss = torch.stack(penalties).sum() * weight
        loss.backward(inputs=self._parameters_d)
        self._apply(self.adam_d)
        for i, penalty in enumerate(penalties, start=4):
            self.sums[i] += penalty.item()
            self.counts[i] += 1

    def _make(self, streams: Streams, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Images of new latents, and their classes: drawn as often as the data has them.

        For pairs they are `label`, those of the real images.
        """
        generator, config = self.generator, self.config
        if self.data.labels is not None and config.loss != "relativistic":
            uniform = streams.child("class").uniform(1, (1,))[:, 0, 0].double()
            label = self.data.labels[(uniform * len(self.data.labels)).long()].to(self.device)
        ws = generator.map(generator.sample(streams), label)
        with torch.no_grad():
            mean_w = ws[:, 0].mean(0)
            generator.mapping.w_avg.lerp_(mean_w, 1.0 - config.w_avg_beta)
        second = generator.map(generator.sample(streams.child("second")), label)
        crossover = draw_crossover(streams, ws.shape[1], config.mixing).to(self.device)
        mixed = mix_styles(ws, second, crossover)
        return generator.synthesis(mixed, "random", streams), label

    @staticmethod
    def _apply(adam: torch.optim.Adam) -> None:
        adam.step()
        adam.zero_grad(set_to_none=True)

    def metrics(self) -> dict[str, float | None]:
        """Means since the last call; `r1`, `r2`: squared gradients, None when none was due.

        Raises:
            ValueError: a loss is not a finite number.
        """
        means = {
            name: total / count if count else None
            for name, total, count in zip(
                METRICS, self.sums.tolist(), self.counts.tolist(), strict=True
            )
        }
        if not bool(self.sums.isfinite().all()):
            self._fail("losses", str(means))
        self.sums.zero_()
        self.counts.zero_()
        return means

    def check_finite(self) -> None:
        """Raise ValueError when a trained weight is not a finite number."""
        bad = [
            f"{part}.{name}"
            for part in ("generator", "discriminator")
            for name, weight in getattr(self, part).named_parameters()
            if not bool(weight.isfinite().all())
        ]
        if bad:
            more = ", ..." if len(bad) > 4 else ""
            self._fail("weights", f"others in {', '.join(bad[:4])}{more}")

    def _fail(self, what: str, got: str) -> NoReturn:
        remedy = "train again with a lower `lr` or a higher `r1_gamma`"
        shown = f"{what} at {self.images_shown} images"
        fail(shown, expected="finite numbers", got=got, remedy=remedy)

    def state_dict(self) -> dict[str, object]:
        """Everything that `load_state_dict` needs to go on; tensors and plain values only."""
        return {
            "config": json.dumps(self.config.fixed_fields()),
            "data": self.data_hash,
            "steps": self.steps,
            "sums": self.sums,
            "counts": self.counts,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same settings and data.

        Raises:
            ValueError: another config, or other data; the message names the fields that changed.
        """
        before = key_text({**json.loads(state["config"]), "data": state["data"]})
        changed = key_difference(
            before, key_text({**self.config.fixed_fields(), "data": self.data_hash})
        )
        if changed:
            fail(
                "config of the checkpoint",
                expected="the settings it was made with",
                got=changed,
                remedy="undo the change, or train into another folder",
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.sums.copy_(state["sums"])
        self.counts.copy_(state["counts"])
        self.steps = int(state["steps"])

    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "adam_g": self.adam_g,
            "adam_d": self.adam_d,
        }

    def _check_labels(self) -> None:
        classes, labels = self.config.generator.c_dim, self.data.labels
        wanted = "no labels" if classes == 0 else f"labels below {classes}"
        got = "" if classes else "labels"
        if labels is None:
            got = "none" if classes else ""
        elif classes and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            got = f"{labels.min()} to {labels.max()}"
        if got:
            fail("training labels", expected=wanted, got=got, remedy="set `c_dim` to the classes")


def _new_generator(config: StyleGAN2Config, rng: Rng) -> StyleGAN2:
    # The constructor draws from torch's global generator: lend it ours, and give the old state
    # back.
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(rng.child("generator").torch().get_state())
        return StyleGAN2(config)
