"""READ FIRST. The test-time arrow as one short class: a classifier that also sees generated views.

    image -> invert -> latent -> perturb -> render -> classify -> weigh -> prediction

Each arrow is one call into one module: `invert`, a `Perturbation`, `render`, a `Classifier`, an
`Ensemble`. `GenerativeTTA` only lines them up; everything it does can be done by hand with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.augment.base import PixelViews
from genviews.checks import check_type, fail
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.source import ImageSource
from genviews.data.split import SplitName
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.fill import fill_bank, rendered_label
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.ensemble.weigh import Ensemble, pixel_average
from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.perturb.base import Perturbation
from genviews.perturb.stylemix import StyleMix
from genviews.types import Progress, silent

__all__ = ["GenerativeTTA"]


class GenerativeTTA(nn.Module):
    """Test-time augmentation with views from a generator, weighed against the image itself.

        y = (1 - alpha) C(x) + alpha mean_k C(G(perturb_k(w*))),   w* = invert(x)

    Args:
        classifier: the classifier C with its image spec and class names.
        generator: the generator G of the same kind of images.
        inverter: how w* is found; None refines the generator's mean latent with the defaults.
        perturbation: what makes a view out of w*.
        pixel_views: pixel augmentation applied to each generated view and, as many times, to the
            image itself; None leaves the pixels alone.
        num_views: K generated views of each image; the reconstruction is one more.
        merge: how predictions become one, see `genviews.ensemble.merge`.
        seed: views depend on (seed, image, view index) and on nothing else.
        batch_size: images under way at once; speed and memory only.

    Attributes:
        ensemble_: the fitted `Ensemble`; its `alpha_` is the weight of the views.

    Raises:
        ValueError: classifier and generator take images of different shapes.

    Source: Chai et al. 2021, arXiv 2104.14551, Sec. 3 and Eq. 7.

    Example:
        >>> import torch
        >>> from genviews import Classifier, GenerativeTTA, Inverter, Rng, ToyGenerator
        >>> toy = ToyGenerator()
        >>> images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(8)))))
        >>> labels = (images.mean((1, 2, 3)) > 0).long()
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> classifier = Classifier(network, toy.image_spec, ("dark", "bright"))
        >>> tta = GenerativeTTA(classifier, toy, inverter=Inverter(steps=5), num_views=4)
        >>> tta.fit(images, labels).predict_proba(images[:3]).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        classifier: Classifier,
        generator: Generator,
        *,
        inverter: Inverter | None = None,
        perturbation: Perturbation | None = None,
        pixel_views: PixelViews | None = None,
        num_views: int = 32,
        merge: str = "mean",
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        remedy = "wrap it: Classifier(module, image_spec, class_names)"
        check_type(classifier, Classifier, "classifier", "a genviews.Classifier", remedy)
        if classifier.image_spec.shape != generator.image_spec.shape:
            fail(
                "classifier and generator",
                expected="images of one shape",
                got=f"{classifier.image_spec.shape} and {generator.image_spec.shape}",
                remedy="use a generator of the classifier's images, or let the classifier resize",
            )
        perturbation = StyleMix("fine") if perturbation is None else perturbation
        generator.latent_spec.layers(perturbation.layers)
        self.classifier, self.generator = classifier, generator
        self.inverter = Inverter() if inverter is None else inverter
        self.views = ViewSet(perturbation=perturbation, pixels=pixel_views)
        self.image_views = () if pixel_views is None else (ViewSet(pixels=pixel_views),)
        self.plan = ViewPlan(
            view_sets=(*self.image_views, self.views),
            generator=generator,
            num_views=num_views,
            seed=seed,
            batch_size=batch_size,
        )
        self.merge = merge

    def fit(
        self,
        images: Float[Tensor, "N C H W"] | ImageSource,
        labels: Int[Tensor, " N"],
        *,
        ids: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> GenerativeTTA:
        """Choose alpha on labelled calibration images that neither network was trained on.

        Args:
            images: in [-1, 1], or a source that they are read from, `batch_size` at a time.
            labels: class indices.
            ids: names of the images, which seed their views; None takes those of the source, or
                derives them from the pixels.
            progress: called with ("calibrate", "images", done, all).
        """
        bank = self.bank(images, labels=labels, ids=ids, split="calibration", progress=progress)
        image_views = [view_set.name for view_set in self.image_views]
        ensemble = Ensemble(self.views.name, image_views=image_views, merge=self.merge)
        self.ensemble_ = ensemble.fit(bank)
        return self

    def predict_proba(
        self,
        images: Float[Tensor, "N C H W"] | ImageSource,
        *,
        ids: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "N Y"]:
        """Class probabilities of the ensemble, float64 on the CPU.

        With alpha = 0, when calibration found no use for the views, no image is inverted and the
        answer is the plain classifier's (with pixel views: its average over them).

        Args:
            images: in [-1, 1], or a source that they are read from, `batch_size` at a time: memory
                does not grow with their number. An image of it that cannot be read gets NaN.
            ids: see `fit`.
            progress: called with ("predict", "images", done, all).

        Raises:
            ValueError: before `fit`.
        """
        if not hasattr(self, "ensemble_"):
            remedy = "call fit(images, labels)"
            got = "predict_proba before fit"
            fail("GenerativeTTA", expected="`fit` first", got=got, remedy=remedy)
        useful = self.ensemble_.alpha_ > 0
        names = _names(images, ids)
        # Equal ids are one image: it is inverted once, and its copies get its answer.
        first = {name: row for row, name in reversed(list(enumerate(names)))}
        shape = (len(names), len(self.classifier.class_names))
        found = torch.full(shape, torch.nan, dtype=torch.float64)
        rows = list(reversed(first.values()))
        for part, bank in self._banks(images, names, rows, "predict", useful, progress):
            if useful:
                found[part] = self.ensemble_.predict_proba(bank)
            else:
                found[part] = pixel_average(bank, self.ensemble_.image_views, self.merge)
        return found[[first[name] for name in names]]

    def predict(
        self, images: Float[Tensor, "N C H W"] | ImageSource, *, ids: Sequence[str] | None = None
    ) -> Int[Tensor, " N"]:
        """The most probable class of each image."""
        return self.predict_proba(images, ids=ids).argmax(-1)

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N Y"]:
        """Logits (log-probabilities) of the ensemble: a drop-in for the classifier at test time."""
        probabilities = self.predict_proba(images)
        smallest = torch.finfo(images.dtype).tiny
        return probabilities.clamp_min(smallest).log().to(images)

    def bank(
        self,
        images: Float[Tensor, "N C H W"] | ImageSource,
        *,
        split: SplitName,
        labels: Int[Tensor, " N"] | None = None,
        ids: Sequence[str] | None = None,
        generate: bool = True,
        progress: Progress | None = None,
    ) -> PredictionBank:
        """What the classifier says of each image and its views; the raw material of `fit`."""
        names = _names(images, ids)
        parts = list(self._banks(images, names, range(len(names)), split, generate, progress))
        rows = [row for part, _ in parts for row in part]
        whole = PredictionBank.concatenate([bank for _, bank in parts])
        return replace(whole, labels=None if labels is None else labels.cpu()[rows])

    def _banks(
        self,
        images: Tensor | ImageSource,
        names: Sequence[str],
        rows: Sequence[int],
        split: SplitName,
        generate: bool,
        progress: Progress | None,
    ) -> Iterator[tuple[list[int], PredictionBank]]:
        """Rows of images that could be read, up to `batch_size` at a time, and their bank."""
        task = Task(name="classifier", classifier=self.classifier)
        only = replace(self.plan, generator=None, view_sets=self.image_views)
        plan, step = self.plan if generate else only, self.plan.batch_size
        stage = "calibrate" if split == "calibration" else "predict"
        tell = partial(progress or silent, stage, "images")

        def halfway(before: int, done: int) -> None:
            tell(before + done // 2, len(rows))  # inversion is half of the work

        tell(0, len(rows))
        for start in range(0, len(rows), step):
            part, pixels, masks = _read(images, rows[start : start + step])
            self.generator.image_spec.check(pixels)
            if part:
                ids, latents = [names[row] for row in part], None
                if generate:
                    latents = self._invert(pixels, masks, task, partial(halfway, start))
                yield part, fill_bank([task], plan, pixels, ids, latents, split=split)[task.name]
            tell(min(start + step, len(rows)), len(rows))

    def _invert(
        self, images: Tensor, masks: Tensor | None, task: Task, tell: Callable[[int], None]
    ) -> Tensor:
        return invert(
            self.generator,
            images,
            masks,
            inverter=self.inverter,
            label=rendered_label([task], self.generator, images),
            batch_size=self.plan.batch_size,
            progress=lambda stage, unit, done, total: tell(done),
        ).latents


def _read(
    images: Tensor | ImageSource, rows: Sequence[int]
) -> tuple[list[int], Tensor, Tensor | None]:
    """Those of the rows that can be read, their images and masks."""
    if isinstance(images, Tensor):
        return list(rows), images[list(rows)], None
    batch = images.read(rows)
    row_of = {images.ids[row]: row for row in rows}
    return [row_of[name] for name in batch.ids], batch.images, batch.masks


def _names(images: Tensor | ImageSource, ids: Sequence[str] | None) -> list[str]:
    if ids is not None:
        return list(ids)
    return content_ids(images) if isinstance(images, Tensor) else list(images.ids)


def content_ids(images: Float[Tensor, "N C H W"]) -> list[str]:
    """An id for each image from its pixels: its views do not depend on its place in a batch."""
    arrays = (image.contiguous().float().numpy() for image in images.detach().cpu())
    return [hashlib.blake2b(array.tobytes(), digest_size=12).hexdigest() for array in arrays]
