"""What `--generator` names: a generator with the inverter and the perturbations that suit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from genviews.checks import check_count, fail, lookup
from genviews.cli.folder import stamp
from genviews.files import read_json
from genviews.generators import Generator, StyleGAN2, StyleGAN2Config, load_callable
from genviews.invert import EncoderStart, InversionEncoder, Inverter
from genviews.perturb import Isotropic, PCAStatistics, Perturbation, paper_presets, perturbation
from genviews.zoo import load as load_zoo
from genviews.zoo import names as zoo_names

__all__ = ["Source", "load_source", "source_stamp"]

Z_STRENGTHS = (0.1, 0.2, 0.3)  # of a black box, in units of its standard normal prior; chosen by us


@dataclass(frozen=True, kw_only=True)
class Source:
    """A generator and what suits it.

    Args:
        generator: in eval mode.
        inverter: start, objective and schedule.
        candidates: perturbations to try when the user names none.
        statistics: principal directions for "pca" perturbations, or None where there are none.
    """

    generator: Generator
    inverter: Inverter
    candidates: tuple[Perturbation, ...]
    statistics: PCAStatistics | None = None

    def perturbations(self, names: tuple[str, ...] | None) -> tuple[Perturbation, ...]:
        """The named perturbations, or the candidates.

        Raises:
            ValueError: an unknown kind or layer range; the closest are listed.
        """
        if not names:
            return self.candidates
        return tuple(perturbation(name, self.generator, self.statistics) for name in names)


def source_stamp(spec: str) -> str:
    """What changes when the named generator's weights change; "" where that cannot be seen."""
    if spec in zoo_names():
        return stamp(load_zoo(spec).folder / "card.json")
    return " ".join(stamp(path) for path in _files(spec) if path.is_file())


def load_source(
    spec: str, *, z_dim: int | None = None, encoder: Path | None = None, steps: int | None = None
) -> Source:
    """Load what `--generator` names.

    Args:
        spec: name of a zoo entry, path of StyleGAN2 weights, or "package.module:function".
        z_dim: width of z, for a function.
        encoder: file of an inversion encoder; None takes the entry's, or starts from the mean
            latent.
        steps: most optimisation steps; None takes the entry's, or the default.

    Raises:
        ValueError: a spec of no such form, an unknown name (the closest are listed), a damaged
            file.
        FileNotFoundError: no such file.
    """
    changes: dict[str, Any] = {}
    if encoder is not None:
        changes["start"] = EncoderStart(InversionEncoder.load(encoder))
    if steps is not None:
        changes["steps"] = check_count(steps, "steps", least=0)
    if spec in zoo_names():
        return _from_zoo(spec, changes)
    if spec.endswith((".safetensors", ".json")):
        return _from_file(spec, changes)
    if ":" in spec:
        return _from_callable(spec, z_dim, changes)
    lookup(spec, dict.fromkeys(zoo_names()), "generator (or FILE.safetensors, or module:function)")
    raise AssertionError("lookup raises")


def _from_zoo(spec: str, changes: Mapping[str, Any]) -> Source:
    entry = load_zoo(spec)
    candidates = tuple(entry.perturbations()) or _everywhere()
    has_directions = any(p.name.startswith("pca") for p in candidates)
    return Source(
        generator=entry.generator,
        inverter=_changed(entry.inverter(), changes),
        candidates=candidates,
        statistics=entry.pca if has_directions else None,
    )


def _from_file(spec: str, changes: Mapping[str, Any]) -> Source:
    from safetensors.torch import load_file

    weights, card = _files(spec)
    for path in (card, weights):
        if not path.is_file():
            fail(
                f"generator {spec!r}",
                expected=f"the files {weights.name} and {card.name} side by side",
                got=f"no {path.name}",
                remedy="put the weights beside their config, the fields of StyleGAN2Config",
                error=FileNotFoundError,
            )
    generator = StyleGAN2(_config(card)).load_weights(load_file(weights)).eval()
    statistics = PCAStatistics.measure(generator)
    named = {layers.name for layers in generator.latent_spec.ranges}
    if {"coarse", "fine"} <= named:
        candidates = tuple(paper_presets("face", generator, statistics))
    else:
        candidates = _everywhere()
    return Source(
        generator=generator,
        inverter=_changed(Inverter(), changes),
        candidates=candidates,
        statistics=statistics,
    )


def _from_callable(spec: str, z_dim: int | None, changes: Mapping[str, Any]) -> Source:
    if z_dim is None:
        fail(
            f"generator {spec!r}",
            expected="the width of its z",
            got="none",
            remedy="add --z-dim, for example --z-dim 128",
        )
    generator = load_callable(spec, z_dim)
    return Source(
        generator=generator.eval(),
        inverter=_changed(Inverter(), changes),
        candidates=_everywhere(),
    )


def _everywhere() -> tuple[Perturbation, ...]:
    return tuple(Isotropic("all", sigma) for sigma in Z_STRENGTHS)


def _changed(inverter: Inverter, changes: Mapping[str, Any]) -> Inverter:
    own = {field.name: getattr(inverter, field.name) for field in fields(inverter)}
    return Inverter(**{**own, **changes})


def _files(spec: str) -> tuple[Path, Path]:
    """Weights and config of a StyleGAN2, whichever of the two was named."""
    path = Path(spec).expanduser()
    return path.with_suffix(".safetensors"), path.with_suffix(".json")


def _config(card: Path) -> StyleGAN2Config:
    """The config in a JSON file; what else the file says (training, licence) is left alone."""
    found = read_json(card)
    known = {field.name for field in fields(StyleGAN2Config)}
    values = {name: value for name, value in found.items() if name in known}
    if "resolution" not in values:
        fail(
            f"config {card.name}",
            expected="the fields of StyleGAN2Config, resolution among them",
            got=", ".join(sorted(found)) or "nothing",
            remedy="write the architecture of the weights into it",
        )
    if values.get("channels"):
        values["channels"] = {int(size): width for size, width in values["channels"].items()}
    for name in ("resample_filter",):
        if name in values:
            values[name] = tuple(values[name])
    if values.get("ranges"):
        values["ranges"] = {name: (start, stop) for name, (start, stop) in values["ranges"].items()}
    return StyleGAN2Config(**values)
