"""Flags of the command line, as frozen dataclasses; those of the learning arrow stand apart.

A field is a flag, and its line under `Args` the help. What a group says decides the result, but for
`RunFlags`, which says how and where to run. Nothing heavy is imported: help must answer at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import CycloptsError, Group, Parameter, convert

from genviews.checks import expanded
from genviews.classify.settings import ClassifierSettings
from genviews.ensemble.rule import EnsembleRule
from genviews.studies.ensembling.demo_shift import SHIFT

__all__ = [
    "INPUT",
    "CorruptFlags",
    "OF_FUNCTION",
    "OF_RANGE",
    "STUDY",
    "DemoFlags",
    "EnsembleFlags",
    "FitFlags",
    "FrameFlags",
    "FunctionFlags",
    "InvertFlags",
    "PLAIN",
    "PredictFlags",
    "ModelFlags",
    "RunFlags",
    "SettingsFlags",
    "StudyFlags",
]

INPUT = Group("Input", sort_key=1)
_CLASSIFIER = Group("Classifier", sort_key=1.5)
_FUNCTION = Group("A generator that is a function", sort_key=1.6)
OF_FUNCTION = Parameter(group=_FUNCTION)
OF_RANGE = Parameter(group=_FUNCTION, allow_leading_hyphen=True)
STUDY = Group("Study", sort_key=2)
_RUN = Group("Running", sort_key=3)


def _exact(kind: Any, words: Any) -> Any:  # noqa: ANN401  (any flag's)
    """A value as cyclopts reads it, but for 1.5 in the place of a whole number, which it rounds.

    `~` is the home folder in every path: a shell leaves it as it is in --work=~/runs.
    """

    def one(kind: type, word: str) -> Any:  # noqa: ANN401  (any flag's)
        if kind is int and "." in word and not float(word).is_integer():
            raise ValueError(word)
        try:
            found = convert(kind, [word])
        except CycloptsError as error:  # which knows no flag
            raise ValueError(word) from error
        return expanded(found) if isinstance(found, Path) else found

    return convert(kind, words, converter=one)


PLAIN = Parameter(
    converter=_exact,
    negative=(),
    show_default=lambda value: None if value is False or value == () else value,
)
"""Of every flag: a switch has no `--no-`, and nothing is no default to show."""


_SETTINGS = ClassifierSettings()
SettingsFlags = Annotated[
    ClassifierSettings, Parameter(name="*", group=_CLASSIFIER, consume_multiple=True)
]
"""Of every verb that takes a classifier."""

StudyFlags = Parameter(name="*", group=STUDY)
"""Makes the options of any study flags."""


@Parameter(name="*", group=_RUN)
@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """How and where to run: these flags change no number but for float round-off.

    Args:
        out: Folder for the results; made if missing. Without it: runs/ and the name of the verb.
        work: Folder of inversions, predictions, views and encoders, which runs may share: what two
            ask for is made once. Without it: in the folder of the results.
        device: cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.
        batch_size: Images in flight; lower it when memory runs out.
        engine: local (this process), or ray (workers of Ray, on this machine or a cluster).
        workers: Workers at the same time, for ray.
        ray_address: Address of a running cluster, for ray; auto finds it. Without it Ray is started
            on this machine. The workers must see the output folder under the same path.
        dry_run: Check the flags, load the models and list the images that they name, print the
            flags as JSON, and stop.
        force: Run again even if the output folder holds results.
        debug: Show the traceback of an error.
    """

    out: Path | None = None
    work: Path | None = None
    device: str = "auto"
    batch_size: int = 128
    engine: Literal["local", "ray"] = "local"
    workers: int = 1
    ray_address: str | None = None
    dry_run: bool = False
    force: bool = False
    debug: bool = False


@Parameter(name="*", group=STUDY)
@dataclass(frozen=True, kw_only=True)
class DemoFlags:
    """The study on the images and weights that ship with the package.

    Args:
        seed: Seed of the views; another seed draws others.
        num_views: Views made of each image, of each kind.
        shifts: Corruptions NAME:SEVERITY that views are measured under as well.
        steps: Most inversion steps for each image.
        calibration: Calibration images, at most 500.
        test: Test images, at most 1,000; more give narrower intervals.
    """

    seed: int = 0
    num_views: int = 8
    shifts: tuple[str, ...] = (SHIFT,)
    steps: int = 10
    calibration: int = 200
    test: int = 400


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class FunctionFlags:
    """What is said of a generator that is package.module:function; see docs/bring_your_own.md.

    Args:
        z_dim: Width of z; what is asked of a generator is in docs/bring_your_own.md. Without it:
            that of the first layer of a module.
        num_classes: Classes, where it takes z and a class; 0 where it takes z.
        generator_z_shape: How it takes z: rows (N, Z), or pixels (N, Z, 1, 1), as a DCGAN does.
            Without this and the next four: found out by calling it, and said.
        generator_classes: How it takes the class: one-hot (N, Y), or index (N,).
        generator_class_names: Names of the classes of a conditional generator in its order, with
            commas between, or a text file with one a line, as the classifier or the folders name
            them. Without it: those on its card, or else the same classes in the same order.
        generator_output: Where the images are in what it returns: a position, key or attribute.
        generator_axes: Of its images: channels-first, channels-last, or no-channels for (N, H, W).
        generator_range: Lowest and highest value of its images.
        generator_colours: Colours to make its images of.
    """

    z_dim: Annotated[int | None, OF_FUNCTION] = None
    num_classes: Annotated[int, OF_FUNCTION] = 0
    generator_z_shape: Annotated[Literal["rows", "pixels"] | None, OF_FUNCTION] = None
    generator_classes: Annotated[Literal["one-hot", "index"] | None, OF_FUNCTION] = None
    generator_class_names: Annotated[str | None, OF_FUNCTION] = None
    generator_output: Annotated[str | None, OF_FUNCTION] = None
    generator_axes: Annotated[
        Literal["channels-first", "channels-last", "no-channels"] | None, OF_FUNCTION
    ] = None
    generator_range: Annotated[Literal["-1..1", "0..1", "0..255"] | None, OF_RANGE] = None
    generator_colours: Annotated[Literal["as-made", "grey", "rgb"], OF_FUNCTION] = "as-made"


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class FitFlags:
    """What becomes of images of another kind than is wanted: that of the generator or encoder.

    Args:
        resize: Crop and resize images of another size instead of leaving them out.
        convert: Convert other colours and transparency instead of leaving such images out.
    """

    resize: bool = False
    convert: bool = False


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class FrameFlags(FitFlags):
    """How images come to the generator's frame, and what of them is known.

    Args:
        align: How images come to the generator's frame: none (they are in it), cars or centre (by a
            box), ffhq or cat (by landmarks).
        geometry: CSV file with the box or the landmarks of each image: file,x0,y0,x1,y1 or
            file,lm0_x,lm0_y,lm1_x,...
        mask: Folder with a picture for each image, of the same name (or that name as .png) and
            size: inversion looks where it is brighter than mid-grey.
    """

    align: str = "none"
    geometry: Path | None = None
    mask: Path | None = None


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class ModelFlags(FunctionFlags, FrameFlags):
    """Labelled images, which of them decide, the classifier, the generator, and views to try.

    Args:
        images: Labelled images: a folder (one subfolder a class), a CSV or JSON file with the
            columns file and label, or a data set, such as torchvision:CIFAR10:FOLDER:test. Splits
            that are there (folders train, val and test, or a column split) are used as such.
        labels: subfolders (an image's folder is its class), or a CSV or JSON file with the columns
            file and label.
        label_column: Column of a table that has the labels. Without it: label.
        class_names: Text file with one class a line, in the order of the classifier's logits; or
            value or text, the order of classes that are numbers. Without it: alphabetical.
        calibration: Where alpha and the scale of each perturbation are chosen, if no split is there
            for it: a fraction of the images, which are then not tested on, or other images.
        calibration_labels: CSV file for a calibration folder; without it: its subfolders.
        split_seed: Seed that cuts the calibration images off. Without it: --seed.
        seed: Seed of the split and of the views.
        classifier: package.module:function that returns a torch module giving logits, that module
            itself, or a .safetensors file that genviews wrote. It is given images from -1 to 1,
            unless the flags under Classifier say otherwise.
        generator: fashion32 (ships with genviews), a file of one, a folder of diffusers or a name
            of genviews generator get (docs/generators.md says which), or package.module:function
            that turns z into images.
        weights: State dict for the module that --classifier builds.
        encoder: Inversion encoder (.safetensors, or one that others published, by its file or its
            name: docs/generators.md); without it: the one of the generator, or else a start from
            the nearest of many samples.
        walks: Latent walks (.safetensors) for steered views, in the latents that are inverted.
        domain: Kind of image, whose published settings suit the generator: face, car, cat, cifar10
            or fashion32. Without it: strengths and pixel views are measured on the generator.
        perturb: Perturbation to try, such as stylemix_fine or isotropic_coarse_0.30. Repeat the
            flag; those of one kind and range compete. Without it: a list that suits the generator.
        augment: Pixel augmentation to compare with, such as fashion32/crop or celebahq/crop. Repeat
            the flag. Without it: flip, small shifts, both, and colour jitter.
        photo_transform: What an image goes through before it is classified, such as car/val, for a
            classifier of another size than the generator. Without it: nothing.
        render_transform: What is rendered goes through before it is classified, such as
            car/gan-base. Without it: nothing.
        steps: Most optimisation steps in the inversion of an image. Without it: what suits the
            generator.
    """

    images: str
    labels: str = "subfolders"
    label_column: str | None = None
    class_names: str | None = None
    calibration: str = "0.5"
    calibration_labels: Path | None = None
    split_seed: int | None = None
    seed: int = 0
    classifier: str
    generator: str
    weights: Path | None = None
    encoder: Path | None = None
    walks: Path | None = None
    domain: str | None = None
    perturb: tuple[str, ...] | None = None
    augment: tuple[str, ...] | None = None
    photo_transform: str | None = None
    render_transform: str | None = None
    steps: int | None = None
    settings: SettingsFlags = _SETTINGS


@Parameter(name="*", group=STUDY)
@dataclass(frozen=True, kw_only=True)
class EnsembleFlags(EnsembleRule):
    """How views are made, and by what their ensemble is fitted.

    Args:
        num_views: Views made of each image, of each kind.
        shift: Ask about your images under a corruption NAME:SEVERITY, such as noise:3, both those
            to calibrate on and those to test on. Without it: as they are.
        fit_on: Mild corruptions. The weight of the views, and all else that is chosen, is then
            chosen by log-loss on your images as they are and on copies under each of these: for
            pictures that may come under shifts that nobody knows yet.
    """

    num_views: int = 32
    shift: str | None = None
    fit_on: tuple[str, ...] = ()


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class PredictFlags(FrameFlags):
    """What to classify, and with which ensemble.

    Args:
        ensemble: Run folder of genviews ensemble (or demo, or study ensembling/main), which has the
            settings, the weight of the views, and what generator and classifier must be.
        images: Images, labelled or not: a folder, a CSV or JSON file with a column file, or a data
            set, as for ensemble.
        labels: subfolders, or a CSV or JSON file with the columns file and label, where the classes
            are known. Without it: the labels that are there, if any.
        label_column: Column of a table that has the labels. Without it: label.
        generator: Where the run's generator is now, if it has moved.
        classifier: Where the run's classifier is now, if it has moved.
        weights: Where the weights of the classifier are now, if they have moved.
    """

    ensemble: Path
    images: str
    labels: str | None = None
    label_column: str | None = None
    generator: str | None = None
    classifier: str | None = None
    weights: Path | None = None


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class InvertFlags(FunctionFlags, FrameFlags):
    """What to invert, and with what.

    Args:
        images: A folder of images, a CSV file with a column file, a store of images that genviews
            wrote (folder or URL), torchvision:FashionMNIST:FOLDER:train (nothing is downloaded), or
            package.module:function that returns such a data set.
        generator: fashion32 (ships with genviews), a file of one, a folder of diffusers or a name
            of genviews generator get (docs/generators.md says which), or package.module:function
            that turns z into images.
        encoder: Inversion encoder (.safetensors, or one that others published, by its file or its
            name: docs/generators.md); without it: the one of the generator, or else a start from
            the nearest of many samples.
        root: Folder of the files that a CSV file names; without it: the folder of that file.
        preset: default (what suits the generator), paper, reference (the paper's released code), or
            in-domain.
        steps: Most optimisation steps for an image. Without it: what suits the generator or the
            preset.
        lpips_weights: ImageNet weights of AlexNet, for presets that use LPIPS; with any preset,
            LPIPS is then measured. Without it: the file that torchvision keeps, if it is there.
        start_from: Store of an earlier inversion (its run folder will do), whose latents are the
            starts.
        png: Also write each reconstruction as a PNG file.
    """

    images: str
    generator: str
    encoder: Path | None = None
    root: Path | None = None
    preset: str = "default"
    steps: int | None = None
    lpips_weights: Path | None = None
    start_from: str | None = None
    png: bool = False


@Parameter(name="*", group=INPUT)
@dataclass(frozen=True, kw_only=True)
class CorruptFlags(FitFlags):
    """What to corrupt, and how.

    Args:
        images: Images: a folder (its subfolders are kept), a CSV or JSON file with a column file, a
            data set, such as torchvision:CIFAR10:FOLDER:test, or fashion32/sample/test.
        corruption: Kind and severity, from 1 to 5, such as noise:3, blur:2 or fog:4; on the scale
            of ImageNet-C with @imagenet-c behind, as in noise:2@imagenet-c, else on that of
            CIFAR-C. Repeat the flag; docs/robustness.md has the kinds.
        size: Height and width to bring the images to, in pixels. Without it: those of the first
            image; images of another size are left out, unless --resize is given.
        seed: Seed of what a corruption leaves to chance.
    """

    images: str
    corruption: tuple[str, ...]
    size: int | None = None
    seed: int = 0
