"""READ FIRST. The test-time arrow as one class: a classifier that also sees generated views.

    image -> align -> invert -> latent -> perturb -> render -> classify -> weigh -> prediction

Each arrow is one call into one module: an `Aligner`, `invert`, a `Perturbation`, `render`, a
`Classifier`, an `Ensemble`. `GenerativeTTA` only lines them up; everything it does can be done by
hand with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.align.base import Aligner, Geometry
from genviews.augment.base import PixelViews
from genviews.augment.presets import for_renders
from genviews.augment.presets import pixel_views as pixel_views_named
from genviews.checks import check_fraction, check_type, fail
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource
from genviews.data.split import SplitName
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.fill import conditioning_task, rendered_label, view_logits
from genviews.ensemble.photos import Photos, Read, answered, check_labels
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.ensemble.weigh import ChooseBy, Ensemble, pixel_average
from genviews.gates.answers import bank_gates
from genviews.gates.gate import warn_of
from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation
from genviews.perturb.held import HeldPerturbation
from genviews.types import Progress, Status, silent

__all__ = ["GenerativeTTA"]

Given = Tensor | Sequence[Tensor] | ImageSource | ImageSet
Transform = PixelViews | str


class GenerativeTTA(nn.Module):
    """Test-time augmentation with views from a generator, weighed against the image itself.

        y = (1 - alpha) C(x) + alpha mean_k C(G(perturb_k(w*))),   w* = invert(x)

    It is a module whose parts are its submodules: `.to(device)` and `.double()` move all of them,
    images and masks follow, and `state_dict` holds the weight alpha, so that a fresh object that
    loads it is fitted. Nothing of it is pickled.

    Args:
        classifier: the classifier C with its image spec and class names.
        generator: the generator G of the same kind of images, or a `GeneratorKit`, which also
            brings its inverter, directions, walks and strengths.
        inverter: how w* is found; None takes that of the kit, or the default.
        perturbation: what makes a view out of w*: an object, or a name such as "stylemix_fine" or
            "isotropic_coarse_0.30"; without its strength, the middle one of those that suit the
            generator. "reconstruction" makes no view but G(w*).
        pixel_views: random pixel augmentation of each generated view and, as many times, of the
            image itself, or its name in `genviews.augment.presets`; None leaves pixels alone.
        render_views: of the generated views, where it is another than that of the image; None takes
            the published partner ("car/gan-mixed" for "car/crop"), or the same. With
            `pixel_views=None` the image stays plain.
        photo_transform: what the plain image goes through before it is classified, such as
            "car/val"; for classifiers of another size than the generator's.
        render_transform: what plain renders go through, such as "car/gan-base".
        aligner: brings images of any size to the generator's frame; calls then take `geometry`.
        num_views: K generated views of each image; the reconstruction is one more.
        per_latent: of them, how many are pixel transforms of one latent, see `ViewSet`.
        num_pixel_views: pixel views of the image itself; None takes K, or 1 where nothing in them
            is left to chance.
        merge: how predictions become one: "mean", "gmean" (the mean of logits), "tsharpen" or
            "max", see `genviews.ensemble.merge`.
        choose_by: what `fit` chooses alpha by: "accuracy", as published, or "log-loss", which tells
            weights apart where there are few calibration images.
        alpha: a weight of the views in [0, 1] that is known; `fit` is then not needed.
        seed: views depend on (seed, image, view index) and on nothing else.
        batch_size: images or views that are rendered or classified at once, and images under way;
            speed, memory and round-off only.

    Attributes:
        alpha: buffer, the weight of the views; NaN before `fit`.
        ensemble_: the fitted `Ensemble`; `alpha_` is the weight, and `curve_` and `accuracy_` say
            how `fit` came to it.

    Raises:
        TypeError: no `Classifier`, generator or kit.
        ValueError: classifier and generator take images of different shapes, or a name that is not
            known (the closest are listed).

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
        >>> again = GenerativeTTA(classifier, toy, inverter=Inverter(steps=5), num_views=4)
        >>> _ = again.load_state_dict(tta.state_dict())
        >>> again.ensemble_.alpha_ == tta.ensemble_.alpha_
        True
    """

    alpha: Tensor

    def __init__(
        self,
        classifier: Classifier,
        generator: Generator | GeneratorKit,
        *,
        inverter: Inverter | None = None,
        perturbation: Perturbation | str = "stylemix_fine",
        pixel_views: Transform | None = None,
        render_views: Transform | None = None,
        photo_transform: Transform | None = None,
        render_transform: Transform | None = None,
        aligner: Aligner | None = None,
        num_views: int = 32,
        per_latent: int = 1,
        num_pixel_views: int | None = None,
        merge: str = "mean",
        choose_by: ChooseBy = "accuracy",
        alpha: float | None = None,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        remedy = "wrap it: Classifier(module, image_spec, class_names)"
        self.classifier = check_type(
            classifier, Classifier, "classifier", "a genviews.Classifier", remedy
        )
        if not isinstance(generator, Generator | GeneratorKit):
            remedy = "wrap it: CallableGenerator(function, z_dim)"
            _refuse_type("generator", "a Generator or a kit", generator, remedy)
        kit = generator if isinstance(generator, GeneratorKit) else GeneratorKit(generator)
        self.generator = kit.generator
        remedy = "make one: Inverter(steps=100), or leave it out"
        given = kit.inverter if inverter is None else inverter
        self.inverter = check_type(given, Inverter, "inverter", "an Inverter", remedy)
        self.inverter_networks = nn.ModuleList(self.inverter.modules())
        self.held = HeldPerturbation(_perturbation(perturbation, kit))
        self._pixels = _named(pixel_views)
        self._rendered = _named(render_views)
        if self._rendered is None and self._pixels is not None:
            self._rendered = for_renders(self._pixels)
        self._transforms = _named(photo_transform), _named(render_transform)
        self.aligner, self.num_views, self.merge = aligner, num_views, merge
        self.choose_by, self.seed, self.batch_size = choose_by, seed, batch_size
        self.per_latent, self.num_pixel_views = per_latent, num_pixel_views
        fixed = torch.nan if alpha is None else check_fraction(alpha, "alpha")
        self._fixed = alpha is not None
        self.register_buffer("alpha", torch.tensor(fixed))
        self._fitted: Ensemble | None = None
        self._unfitted_ensemble()  # says now what is wrong with the names
        self.plan.check_shapes(self.generator.image_spec, self.classifier.image_spec)
        self.inverter.check(self.generator)
        conditioning_task([Task(name="classifier", classifier=classifier)], self.generator)

    def fit(
        self,
        images: Given,
        labels: Tensor | Sequence[int],
        *,
        masks: Tensor | None = None,
        geometry: Sequence[Geometry] | None = None,
        ids: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> GenerativeTTA:
        """Choose alpha on labelled calibration images that neither network was trained on.

        All arguments are checked before anything is rendered. What the answers to these images tell
        of a classifier that cannot be trusted (its classes in another order, no better than
        guessing) is a `GateWarning`.

        Args:
            images: (N, C, H, W) in [-1, 1] on any device, or a source that they are read from,
                `batch_size` at a time. An image that comes several times counts as often.
            labels: class indices, in the order of the classifier's class names.
            masks: (N, 1, H, W), 1 where a pixel is known; inversion does not look at the others.
            geometry: box or landmarks of each image, for the aligner.
            ids: names of the images, which seed their views; None takes those of the source, or
                derives them from the pixels.
            progress: called with ("calibrate", "images", done, all).

        Raises:
            TypeError: images that are no floats.
            ValueError: images of another size or far outside [-1, 1], or that are not finite (they
                are named); labels that are not class indices; equal ids of different images; alpha
                was given.
        """
        if self._fixed:
            got, remedy = f"alpha={float(self.alpha):g}", "leave out alpha, or do not fit"
            fail("fit", expected="no alpha, where it is to be chosen", got=got, remedy=remedy)
        photos = self._photos(images, ids, masks, geometry)
        known = check_labels(labels, photos, self.classifier.class_names)
        if bad := photos.not_finite():
            names = ", ".join(f"{row} ({photos.ids[row]!r})" for row in bad[:5])
            remedy = "leave these images out, or mask the pixels"
            fail(
                "images to fit on",
                expected="finite numbers",
                got=f"others in {names}",
                remedy=remedy,
            )
        bank = self._bank(photos, known, "calibration", True, progress)
        warn_of(bank_gates(bank))
        self._fitted = self._unfitted_ensemble().fit(bank)
        self.alpha = self.alpha.new_tensor(self._fitted.alpha_)
        return self

    def predict_proba(
        self,
        images: Given,
        *,
        masks: Tensor | None = None,
        geometry: Sequence[Geometry] | None = None,
        ids: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "N Y"]:
        """Class probabilities of the ensemble, float64 on the CPU.

        One bad image never fails the others, which get what they get without it: of an image with
        a pixel or a logit that is not finite, that cannot be read or aligned, the row is NaN. Where
        the inversion fails or a view gets such a logit, it is the plain classifier's answer.

        With alpha = 0, when calibration found no use for the views, no image is inverted and the
        answer is the plain classifier's (with pixel views: its average over them).

        Args:
            images: see `fit`; of a source, memory does not grow with their number.
            masks: see `fit`.
            geometry: see `fit`.
            ids: see `fit`.
            progress: called with ("predict", "images", done, all).

        Raises:
            TypeError, ValueError: as `fit`; or neither `fit` nor alpha came before.
        """
        photos = self._photos(images, ids, masks, geometry)
        shape = (len(photos), len(self.classifier.class_names))
        found = torch.full(shape, torch.nan, dtype=torch.float64)
        for part, _, probabilities in self._answers(photos, progress):
            found[part] = probabilities
        return found[photos.copies]

    def answers(
        self, images: ImageSource, *, progress: Progress | None = None
    ) -> Iterator[tuple[PredictionBank, Float[Tensor, "n Y"]]]:
        """Yield what is said of some images of a source at a time: of each view, and in all.

        Args:
            images: read `batch_size` at a time; those without an answer are left out.
            progress: called with ("predict", "images", done, all).

        Returns:
            Banks of all views that have weight, and the ensemble's probabilities.
        """
        photos = self._photos(images, None, None, None)
        return ((bank, probs) for _, bank, probs in self._answers(photos, progress))

    def _answers(
        self, photos: Photos, progress: Progress | None
    ) -> Iterator[tuple[list[int], PredictionBank, Tensor]]:
        ensemble = self.ensemble_
        useful = ensemble.alpha_ > 0
        for rows, bank in self._banks(photos, "predict", useful, progress):
            if useful:
                yield rows, bank, ensemble.predict_proba(bank)
            else:
                yield rows, bank, pixel_average(bank, ensemble.image_views, self.merge)

    def predict(
        self,
        images: Given,
        *,
        masks: Tensor | None = None,
        geometry: Sequence[Geometry] | None = None,
        ids: Sequence[str] | None = None,
    ) -> Int[Tensor, " N"]:
        """The most probable class of each image; -1 where `predict_proba` has no answer."""
        found = self.predict_proba(images, masks=masks, geometry=geometry, ids=ids)
        return found.argmax(-1).masked_fill(found.isnan().any(-1), -1)

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N Y"]:
        """Logits (log-probabilities) of the ensemble: a drop-in for the classifier at test time."""
        probabilities = self.predict_proba(images)
        smallest = torch.finfo(images.dtype).tiny
        return probabilities.clamp_min(smallest).log().to(images)

    def bank(
        self,
        images: Given,
        *,
        split: SplitName,
        labels: Tensor | Sequence[int] | None = None,
        masks: Tensor | None = None,
        geometry: Sequence[Geometry] | None = None,
        ids: Sequence[str] | None = None,
        generate: bool = True,
        progress: Progress | None = None,
    ) -> PredictionBank:
        """What the classifier says of each image and its views; the raw material of `fit`.

        Images without an answer are left out; see `predict_proba`.
        """
        photos = self._photos(images, ids, masks, geometry)
        names = self.classifier.class_names
        known = None if labels is None else check_labels(labels, photos, names)
        return self._bank(photos, known, split, generate, progress)

    @property
    def ensemble_(self) -> Ensemble:
        """The ensemble with its alpha, chosen by `fit`, loaded or given.

        Raises:
            ValueError: before any of them.
        """
        alpha = round(float(self.alpha), 6)  # float32 holds seven digits
        if alpha != alpha:
            remedy = "call fit(images, labels), load a state_dict, or give alpha"
            fail(
                "GenerativeTTA",
                expected="`fit` first",
                got="predict_proba before fit",
                remedy=remedy,
            )
        if self._fitted is not None and abs(self._fitted.alpha_ - alpha) < 1e-6:
            return self._fitted
        return self._unfitted_ensemble(alpha)

    @ensemble_.setter
    def ensemble_(self, fitted: Ensemble) -> None:
        """Take the weight of an ensemble that was fitted elsewhere."""
        self._fitted = fitted
        self.alpha = self.alpha.new_tensor(fitted.alpha_)

    @property
    def perturbation(self) -> Perturbation | None:
        """What makes the views; None where the reconstruction is the only one."""
        return self.held.perturbation

    @property
    def plan(self) -> ViewPlan:
        """The views that are made of each image."""
        photo, rendered = self._transforms
        image_views = []
        if self._pixels is not None:
            image_views = [ViewSet(pixels=self._pixels, num_views=self.num_pixel_views)]
        views = self._views()
        return ViewPlan(
            view_sets=(*image_views, *([] if views is None else [views])),
            generator=self.generator,
            num_views=self.num_views,
            seed=self.seed,
            batch_size=self.batch_size,
            photo_transform=photo,
            render_transform=rendered,
        )

    def _views(self) -> ViewSet | None:
        if self.perturbation is None:
            return None
        per_latent = self.per_latent
        return ViewSet(perturbation=self.perturbation, pixels=self._rendered, per_latent=per_latent)

    def _unfitted_ensemble(self, alpha: float | None = None) -> Ensemble:
        views = self._views()
        return Ensemble(
            () if views is None else views.name,
            image_views=() if self._pixels is None else self._pixels.name,
            merge=self.merge,
            choose_by=self.choose_by,
            alpha=alpha,
        )

    def _photos(
        self,
        images: Given,
        ids: Sequence[str] | None,
        masks: Tensor | None,
        geometry: Sequence[Geometry] | None,
    ) -> Photos:
        return Photos(
            images,
            self.generator.image_spec,
            ids=ids,
            masks=masks,
            aligner=self.aligner,
            geometry=geometry,
        )

    def _bank(
        self,
        photos: Photos,
        labels: Tensor | None,
        split: SplitName,
        generate: bool,
        progress: Progress | None,
    ) -> PredictionBank:
        """The bank of all images; one that comes again has a line of its own."""
        parts = list(self._banks(photos, split, generate, progress))
        if not parts:
            remedy = "check the files, and what the classifier answers"
            fail("images", expected="at least one with an answer", got="none", remedy=remedy)
        place = {row: place for place, row in enumerate(row for part, _ in parts for row in part)}
        rows = [row for row, first in enumerate(photos.copies) if first in place]
        whole = PredictionBank.concatenate([bank for _, bank in parts])
        chosen = [place[photos.copies[row]] for row in rows]
        first = set(photos.rows)
        ids = (photos.ids[row] + ("" if row in first else f"#{row}") for row in rows)
        return replace(
            whole,
            ids=tuple(ids),
            labels=None if labels is None else labels[rows],
            logits={key: logits[chosen] for key, logits in whole.logits.items()},
        )

    def _banks(
        self, photos: Photos, split: SplitName, generate: bool, progress: Progress | None
    ) -> Iterator[tuple[list[int], PredictionBank]]:
        """Rows of images with an answer, of up to `batch_size` at a time, and their bank."""
        task, plan = Task(name="classifier", classifier=self.classifier), self.plan
        if not generate:
            sets = tuple(views for views in plan.view_sets if views.perturbation is None)
            plan = replace(plan, generator=None, view_sets=sets)
        stage = "calibrate" if split == "calibration" else "predict"
        rows, tell = photos.rows, partial(progress or silent, stage, "images")

        def halfway(before: int, done: int) -> None:
            tell(before + done // 2, len(rows))  # inversion is half of the work

        tell(0, len(rows))
        for start in range(0, len(rows), self.batch_size):
            part = photos.read(rows[start : start + self.batch_size])
            if part.rows:
                images = self.generator.place(part.images)
                part = replace(part, images=images)
                ids = [photos.ids[row] for row in part.rows]
                latents, failed = None, torch.zeros(len(ids), dtype=torch.bool)
                if generate:
                    latents, failed = self._invert(part, task, partial(halfway, start))
                said = view_logits([task], plan, images, ids, latents)[0]
                good, logits = answered(said, part.bad, failed)
                if good:
                    yield (
                        [part.rows[i] for i in good],
                        PredictionBank(
                            ids=tuple(ids[i] for i in good),
                            labels=None,
                            class_names=task.class_names,
                            split=split,
                            logits=logits,
                            meta=plan.facts,
                        ),
                    )
            tell(min(start + self.batch_size, len(rows)), len(rows))

    def _invert(self, part: Read, task: Task, tell: Callable[[int], None]) -> tuple[Tensor, Tensor]:
        """Latents, and where the inversion failed."""
        found = invert(
            self.generator,
            part.images,
            part.masks,
            inverter=self.inverter,
            label=self._label(part.images, task),
            batch_size=self.batch_size,
            strictly=True,
            rows=part.rows,
            progress=lambda stage, unit, done, total: tell(done),
        )
        return found.latents, (found.status == Status.FAILED).cpu()

    def _label(self, images: Tensor, task: Task) -> Tensor | None:
        shown = next(self.plan.blocks(images, [str(row) for row in range(len(images))]))[1][:, 0]
        return rendered_label([task], self.generator, shown, batch_size=self.batch_size)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GenerativeTTA:
        """As for any module; but alpha keeps its digits where `.half()` would round them."""
        alpha = self.alpha
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        self.alpha = alpha.to(self.alpha.device)
        return self


def _named(transform: object) -> PixelViews | None:
    if isinstance(transform, str):
        return pixel_views_named(transform)
    if transform is None or isinstance(transform, PixelViews):
        return transform
    remedy = "name one, such as 'celebahq/crop', or make one: HorizontalFlip()"
    _refuse_type("pixel views", "PixelViews or a name", transform, remedy)


def _refuse_type(what: str, expected: str, given: object, remedy: str) -> NoReturn:
    fail(what, expected=expected, got=type(given).__name__, remedy=remedy, error=TypeError)


def _perturbation(given: object, kit: GeneratorKit) -> Perturbation | None:
    if isinstance(given, str):
        return None if given == "reconstruction" else kit.perturbation(given)
    if not isinstance(given, Perturbation):
        remedy = "name one, such as 'stylemix_fine', or make one: StyleMix('fine')"
        _refuse_type("perturbation", "a Perturbation or its name", given, remedy)
    kit.generator.latent_spec.layers(given.layers)
    return given
