"""Fill prediction banks: make every view once, show it to every classifier, keep the logits.

In the test-time arrow this is perturb, render and classify in one pass over the images, batched
across images and views.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.classify.model import Classifier, predict_logits
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.views import Chunk, Plan, ViewSet, plan_views, streams_of_views
from genviews.generators.base import Generator

__all__ = ["Progress", "ViewSet", "fill_bank"]

Progress = Callable[[str, int, int], None]
"""Called as the work goes on: `progress("views of test", 64, 1000)`, 64 of 1000 images done."""


def fill_bank(
    classifiers: Mapping[str, Classifier],
    generator: Generator | None,
    images: Float[Tensor, "N C H W"],
    ids: Sequence[str],
    labels: Int[Tensor, " N"] | None,
    latents: Float[Tensor, "N L D"] | None,
    view_sets: Sequence[ViewSet],
    *,
    split: str,
    num_views: int = 32,
    seed: int = 0,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> dict[str, PredictionBank]:
    """Make the views of every image once and classify them with every classifier.

    A conditional generator mixes styles of the class that the first classifier predicts for the
    image.

    Args:
        classifiers: name -> classifier; all for the same images and classes.
        generator: renders the latents; None when no view set perturbs latents.
        images: in [-1, 1].
        ids: N different sample ids; they seed the views.
        labels: class indices, or None.
        latents: of the images, by inversion; None together with `generator`.
        view_sets: the views to make; their names become the keys of the banks.
        split: which data this is; recorded, and "test" is refused by everything that fits.
        num_views: K of each view set that does not say itself; 32 as in the reference code.
        seed: another seed, other views.
        batch_size: views in flight at a time (memory), no effect on the result but float round-off.
        progress: called with ("views of SPLIT", images done, N).

    Returns:
        Classifier name -> bank, with logits for "image", "reconstruction" (given a generator) and
        each view set, on the CPU.

    Raises:
        ValueError: shapes, ids or names that do not fit, or pixels or latents that are not finite.

    Source: Chai et al. 2021, section 3.2; its code's `eval_ensemble` scripts.

    Differs: each image's views come from its id, not from its place in the data set or in the
        batch; images are batched; logits are stored.
    """
    check_count(batch_size, "batch_size")
    check_count(num_views, "num_views")
    plan = plan_views(generator, view_sets, num_views, batch_size)
    _check_inputs(classifiers, plan, images, ids, latents)
    streams = streams_of_views(seed, ids)
    device = images.device if generator is None else generator.device
    stage, step = f"views of {split}", max(1, batch_size // num_views)
    logits: dict[str, dict[str, list[Tensor]]] = {name: defaultdict(list) for name in classifiers}
    for start in range(0, len(ids), step):
        rows = slice(start, start + step)
        part = images[rows].to(device)
        chunk = Chunk(
            images=part,
            latents=None if latents is None else latents[rows].to(device),
            streams=streams[rows],
            conditions=_predicted(classifiers, generator, part),
        )
        for key, views in plan.views(chunk):
            for name, classifier in classifiers.items():
                found = predict_logits(classifier, views, batch_size=batch_size)
                logits[name][key].append(found.cpu())
        if progress is not None:
            progress(stage, min(start + step, len(ids)), len(ids))
    return {
        name: PredictionBank(
            ids=tuple(ids),
            labels=None if labels is None else labels.cpu(),
            class_names=tuple(classifier.class_names),
            split=split,
            logits={key: torch.cat(parts) for key, parts in logits[name].items()},
            meta={"classifier": name, "seed": seed, "num_views": num_views},
        )
        for name, classifier in classifiers.items()
    }


def _predicted(
    classifiers: Mapping[str, Classifier], generator: Generator | None, images: Tensor
) -> Tensor | None:
    """The classes that a conditional generator renders: never the true ones, they are not known."""
    if generator is None or generator.num_classes == 0:
        return None
    first = next(iter(classifiers.values()))
    logits: Tensor = predict_logits(first, images, batch_size=len(images))
    return logits.argmax(-1)


def _check_inputs(
    classifiers: Mapping[str, Classifier],
    plan: Plan,
    images: Tensor,
    ids: Sequence[str],
    latents: Tensor | None,
) -> None:
    if not classifiers:
        fail(
            "classifiers", expected="at least one", got="none", remedy="e.g. {'images': classifier}"
        )
    if (plan.generator is None) != (latents is None) or (plan.latent_sets and latents is None):
        fail(
            "generator and latents",
            expected="both, or neither and no perturbation among the view sets",
            got=f"{'no' if plan.generator is None else 'a'} generator, "
            f"{'no' if latents is None else 'given'} latents, "
            f"{len(plan.latent_sets)} perturbations",
            remedy="invert the images with this generator first",
        )
    for what, tensor in (("images", images), ("latents", latents)):
        if tensor is None:
            continue
        if len(tensor) != len(ids):
            fail(
                what, expected=f"{len(ids)}, one for each id", got=len(tensor), remedy="align them"
            )
        # Found now, not after hours of rendering when the bank refuses logits that are not finite.
        bad = torch.nonzero(~torch.isfinite(tensor).flatten(1).all(1)).flatten().tolist()
        if bad:
            got = f"others in {', '.join(ids[i] for i in bad[:5])}"
            fail(what, expected="finite numbers", got=got, remedy="leave these images out")
