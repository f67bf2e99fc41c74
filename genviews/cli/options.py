"""The flags of each verb, as the frozen dataclasses that a run is described by.

A field is a flag; its help text is the line under `Args`. `results.json` and `config.json` hold the same fields.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["DemoOptions", "EnsembleOptions", "RunOptions", "plain"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, not what: these flags change no number.

    Args:
        dry_run: Print the resolved configuration as JSON and stop.
        force: Run again even if the output folder holds a finished run.
        debug: Show the traceback of an error.
    """

    dry_run: bool = False
    force: bool = False
    debug: bool = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The study on the images and weights that ship with the package.

    Args:
        out: Folder for the results; made if missing.
        seed: Seed of the views; another seed draws other views.
        views: Number of views made of each image.
    """

    out: Path = Path("runs/demo")
    seed: int = 0
    views: int = 32


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EnsembleOptions:
    """The study on the user's images, classifier and generator.

    Args:
        images: Folder of test images; it is never used to fit anything.
        classifier: A file that genviews wrote, or package.module:function, called without arguments, that
            returns a torch module.
        generator: "fashion32" (shipped), a StyleGAN2 weights file (.safetensors), or package.module:function
            that turns z into images.
        labels: "subfolders" (the folder of an image is its class) or a CSV file with columns file, label.
        calibration: Where alpha and the scale of each perturbation are chosen: a fraction of the images, which
            are then not tested on, or a folder of other images.
        calibration_labels: Labels of a calibration folder, if other than --labels.
        out: Folder for the results; made if missing.
        perturb: Perturbations to try, such as stylemix_fine_1.00; repeat the flag. Default: a list made for the
            generator.
        augment: Pixel augmentations to compare with, such as flip or crop; repeat the flag.
        views: Number of views made of each image.
        steps: Optimisation steps of the inversion of each image.
        z_dim: Width of z; needed for package.module:function generators.
        average: What is averaged over views.
        batch_size: Images in flight; lower it when memory runs out. Changes no result.
        device: cpu, cuda, cuda:1, mps, or auto.
        seed: Seed of the split and of the views.
    """

    images: Path
    classifier: str
    generator: str
    labels: str = "subfolders"
    calibration: str = "0.5"
    calibration_labels: str | None = None
    out: Path = Path("runs/ensemble")
    perturb: tuple[str, ...] = ()
    augment: tuple[str, ...] = ("flip", "crop", "jitter")
    views: int = 32
    steps: Annotated[int, Parameter(help="")] = 100
    z_dim: int | None = None
    average: Literal["probs", "logits"] = "probs"
    batch_size: int = 64
    device: str = "auto"
    seed: int = 0


def plain(options: DemoOptions | EnsembleOptions) -> dict[str, object]:
    """The options as JSON can hold them."""
    values = asdict(options)
    return {
        name: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v
        for name, v in values.items()
    }
