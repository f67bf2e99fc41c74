"""READ FIRST. The test-time arrow as one class: a classifier that also sees generated views.

    image -> align -> invert -> latent -> perturb -> render -> classify -> weigh -> prediction

Each arrow is one call into one module: an `Aligner`, `invert`, a `Perturbation`, `render`, a
`Classifier`, an `Ensemble`. `GenerativeTTA` only lines them up; everything it does can be done by
hand with them: `Photos` are what is given, `photo_banks` the arrow from them to the classifier's
answers, and `Ensemble` weighs these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.align.base import Aligner, Geometry
from genviews.augment.base import PixelViews
from genviews.augment.presets import for_renders
from genviews.augment.presets import pixel_views as pixel_views_named
from genviews.checks import check_type, fail
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource
from genviews.data.split import SplitName, check_fit
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.fill import conditioning_task
from genviews.ensemble.held import HeldEnsemble
from genviews.ensemble.photo_banks import PhotoBank, joined_bank, photo_banks
from genviews.ensemble.photos import Photos, check_labels
from genviews.ensemble.rule import ChooseBy, EnsembleRule, MergeName
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.ensemble.weigh import Ensemble, pixel_average
from genviews.gates.gate import warn_of
from genviews.gates.views import bank_gates
from genviews.generators.base import Generator, check_is_generator
from genviews.invert.inverter import Inverter
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation
from genviews.perturb.held import HeldPerturbation
from genviews.robustness.corruption import corruption
from genviews.types import Progress

__all__ = ["GenerativeTTA"]

Given = Tensor | Sequence[Tensor] | ImageSource | ImageSet
Transform = PixelViews | str


class GenerativeTTA(nn.Module):
    """Test-time augmentation with views from a generator, weighed against the image itself.

        y = (1 - alpha) C(x) + alpha mean_k C(G(perturb_k(w*))),   w* = invert(x)

    It is a module whose parts are its submodules: `.to(device)` and `.double()` move all of them,
    images and masks follow, and `state_dict` holds the weight alpha and the settings that it was
    chosen for, so that a fresh object of the same settings that loads it is fitted, and another is
    refused. Nothing of it is pickled.

    Args:
        classifier: the classifier C with its image spec and class names.
        generator: the generator G of the same kind of images, or a `GeneratorKit`, which also
            brings its inverter, directions, walks and strengths.
        inverter: how w* is found; None takes that of the kit.
        perturbation: what makes a view out of w*: an object, or a name such as "stylemix_fine" or
            "isotropic_coarse_0.30"; without its strength, the middle one of those that suit the
            generator. None takes "stylemix_fine", or "isotropic_all" of a generator without fine
            rows. "reconstruction" makes no view but G(w*).
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
    """

    def __init__(
        self,
        classifier: Classifier,
        generator: Generator | GeneratorKit,
        *,
        inverter: Inverter | None = None,
        perturbation: Perturbation | str | None = None,
        pixel_views: Transform | None = None,
        render_views: Transform | None = None,
        photo_transform: Transform | None = None,
        render_transform: Transform | None = None,
        aligner: Aligner | None = None,
        num_views: int = 32,
        per_latent: int = 1,
        num_pixel_views: int | None = None,
        merge: MergeName = "mean",
        choose_by: ChooseBy = "accuracy",
        alpha: float | None = None,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        remedy = "wrap it: Classifier(module, image_spec, class_names)"
        check_type(classifier, Classifier, "classifier", "a genviews.Classifier", remedy)
        if not isinstance(generator, GeneratorKit):
            check_is_generator(generator)
            generator = GeneratorKit(generator)
        remedy = "name one, such as 'stylemix_fine', or make one: StyleMix('fine')"
        expected = "a Perturbation or its name"
        if perturbation is None:
            fine = any(rows.name == "fine" for rows in generator.generator.latent_spec.ranges)
            perturbation = "stylemix_fine" if fine else "isotropic_all"
        check_type(perturbation, (Perturbation, str), "perturbation", expected, remedy)
        remedy = "make one: Inverter(steps=100), or leave it out"
        inverter = generator.inverter if inverter is None else inverter
        check_type(inverter, Inverter, "inverter", "an Inverter", remedy)
        made = None if perturbation == "reconstruction" else generator.perturbation(perturbation)
        of_image, of_render = _named(pixel_views), _named(render_views)
        if of_render is None and of_image is not None:
            of_render = for_renders(of_image)
        pixel: list[ViewSet] = []
        generated: list[ViewSet] = []
        if of_image is not None:
            pixel = [ViewSet(pixels=of_image, num_views=num_pixel_views)]
        if made is not None:
            generated = [ViewSet(perturbation=made, pixels=of_render, per_latent=per_latent)]
        self._plan = plan = ViewPlan(
            view_sets=(*pixel, *generated),
            generator=generator.generator,
            num_views=num_views,
            seed=seed,
            batch_size=batch_size,
            photo_transform=_named(photo_transform),
            render_transform=_named(render_transform),
        )
        ensemble = Ensemble(
            [views.name for views in generated],
            image_views=[views.name for views in pixel],
            rule=EnsembleRule(merge=merge, choose_by=choose_by),
            alpha=alpha,
        )
        settings = {
            "class_names": classifier.class_names,
            "aligner": None if aligner is None else type(aligner),
            **plan.settings,
            **inverter.settings,
        }
        # The first of the parts, so that it refuses a state before another has taken any of it.
        self.weighing = HeldEnsemble(ensemble, settings)
        self.classifier, self.generator = classifier, generator.generator
        self.inverter, self.inverter_networks = inverter, nn.ModuleList(inverter.modules())
        self.aligner, self.held = aligner, HeldPerturbation(made)
        plan.check_shapes(self.generator.image_spec, classifier.image_spec)
        inverter.check(self.generator)
        conditioning_task([Task(name="classifier", classifier=classifier)], self.generator)

    def fit(
        self,
        images: Given,
        labels: Tensor | Sequence[int] | None = None,
        *,
        masks: Tensor | None = None,
        geometry: Sequence[Geometry] | None = None,
        ids: Sequence[str] | None = None,
        fit_on: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> GenerativeTTA:
        """Choose alpha on labelled calibration images that neither network was trained on.

        All arguments are checked before anything is rendered. What the answers to these images tell
        of a classifier that cannot be trusted (its classes in another order, no better than
        guessing) is a `GateWarning`.

        Args:
            images: (N, C, H, W) in [-1, 1] on any device, or a source that they are read from,
                `batch_size` at a time. An image that comes several times counts as often.
            labels: class indices, in the order of the classifier's class names; None takes those of
                the source.
            masks: (N, 1, H, W), 1 where a pixel is known; inversion does not look at the others.
            geometry: box or landmarks of each image, for the aligner.
            ids: names of the images, which seed their views; None takes those of the source, or
                derives them from the pixels.
            fit_on: mild corruptions, such as ("noise:2",): alpha is chosen, by log-loss, on copies
                of the images under them as well, so that it serves images under other shifts too.
            progress: called with ("calibrate", "images", done, all).

        Raises:
            TypeError: images that are no floats.
            ValueError: images of another size or far outside [-1, 1], or that are not finite (they
                are named); a source that is the split `test`; labels that are not class indices;
                equal ids of different images; alpha was given.
        """
        self.weighing.check_fitting()
        shifts = [corruption(word) for word in fit_on]
        for shift in shifts:
            shift.check(self.generator.image_spec)
        if isinstance(images, ImageSource | ImageSet):
            check_fit(images.split, "choose alpha")
            labels = images.labels if labels is None else labels
        if labels is None:
            remedy = "give class indices, or a source that has labels"
            fail("labels", expected="one for each image", got="none", remedy=remedy)
        photos = self._photos(images, ids, masks, geometry)
        known = check_labels(labels, photos, self.classifier.class_names)
        photos.check_finite()
        bank = joined_bank(photos, self._banks(photos, "calibration", progress), known)
        warn_of(bank_gates(bank))
        copies = []
        for shift in shifts:
            changed = photos.under(shift, self._plan.seed)
            own = joined_bank(changed, self._banks(changed, "calibration", progress), known)
            copies.append(replace(own, ids=tuple(f"{name} ({shift.name})" for name in own.ids)))
        bank = PredictionBank.concatenate([bank, *copies])
        self.weighing.fit(bank, choose_by="log-loss" if shifts else None)
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
        for part, probabilities in self.answers(photos, progress=progress):
            found[part.rows] = probabilities
        return found[photos.copies]

    def answers(
        self, photos: Photos, *, progress: Progress | None = None
    ) -> Iterator[tuple[PhotoBank, Float[Tensor, "n Y"]]]:
        """Yield what is said of some photos at a time: of each view, and in all.

        Args:
            photos: those without an answer are left out.
            progress: see `predict_proba`.

        Returns:
            Their bank, of all views that have weight, and the ensemble's probabilities.
        """
        ensemble = self.ensemble_
        useful = ensemble.alpha_ > 0
        for part in self._banks(photos, "predict", progress, generate=useful):
            if useful:
                yield part, ensemble.predict_proba(part.bank)
            else:
                yield part, pixel_average(part.bank, ensemble.image_views, ensemble.rule.merge)

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
        """Logits (log-probabilities) of the ensemble: a drop-in for the classifier at test time.

        No gradient reaches the images: an inversion is a search.
        """
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
        banks = self._banks(photos, split, progress, generate=generate)
        return joined_bank(photos, banks, known)

    @property
    def ensemble_(self) -> Ensemble:
        """The ensemble with its alpha, chosen by `fit`, loaded or given.

        Raises:
            ValueError: before any of them.
        """
        return self.weighing.fitted

    @property
    def perturbation(self) -> Perturbation | None:
        """What makes the views; None where the reconstruction is the only one."""
        return self.held.perturbation

    @property
    def plan(self) -> ViewPlan:
        """The views that are made of each image."""
        sets = self._plan.view_sets
        held = (replace(v, perturbation=v.perturbation and self.perturbation) for v in sets)
        return replace(self._plan, view_sets=tuple(held))

    def _photos(
        self,
        images: Given,
        ids: Sequence[str] | None,
        masks: Tensor | None,
        geometry: Sequence[Geometry] | None,
    ) -> Photos:
        spec, aligner = self.generator.image_spec, self.aligner
        return Photos(images, spec, ids=ids, masks=masks, aligner=aligner, geometry=geometry)

    def _banks(
        self, photos: Photos, split: SplitName, progress: Progress | None, *, generate: bool = True
    ) -> Iterator[PhotoBank]:
        parts = self.classifier, self.plan, self.inverter if generate else None
        return photo_banks(photos, *parts, split=split, progress=progress)


def _named(given: object) -> PixelViews | None:
    remedy = "name one, such as 'celebahq/crop', or make one: HorizontalFlip()"
    if not isinstance(given, str | None):
        return check_type(given, PixelViews, "pixel views", "PixelViews or a name", remedy)
    return None if given is None else pixel_views_named(given)
