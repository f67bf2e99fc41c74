"""A bench whose images are under a shift, or under an attack on a classifier.

    BENCH of clean images -> under a shift -> BENCH -> inversions, predictions

Both have one folder, so that studies share what was made under the same shift. Gates stay with the
clean images: see `genviews.studies.gates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from genviews.classify.task import Task
from genviews.data.joined_source import JoinedImages
from genviews.data.source import ImageSource, columns_of
from genviews.data.store_source import StoreSource
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.rng import Rng
from genviews.robustness.attack import Attack
from genviews.robustness.shifted import Shift, ShiftedImages
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.studies.bench import Bench
from genviews.work import Tell, run_shards

__all__ = ["under", "under_attack"]

SHARD = 100  # images, or fewer where they are large


def under(
    bench: Bench,
    shift: Shift | None,
    *,
    fit_on: Sequence[Shift] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Bench:
    """The same bench with its images under a shift.

    Args:
        bench: of clean images.
        shift: of the test images, and of the calibration images; None leaves them as they are.
        fit_on: calibrate on the images as they are and on copies of them under each of these, and
            not under the shift; None calibrates under the shift.
        counts: of splits, how many images are drawn by their ids; those of others are all kept.

    Source: Chai et al. 2021, section 4.4, chooses alpha on validation images under the shift.
    """
    splits = _few(bench, counts)
    found = {name: _shifted(images, shift, bench.seed) for name, images in splits.items()}
    if fit_on is not None:
        clean = splits["calibration"]
        copies = {one.name: _shifted(clean, one, bench.seed) for one in fit_on}
        found["calibration"] = JoinedImages({"": clean, **copies}) if copies else clean
    return bench.derived(found, "" if shift is None else f" under {shift.name}")


def under_attack(
    bench: Bench,
    attack: Attack,
    task: Task,
    *,
    counts: Mapping[str, int] | None = None,
    tasks: Sequence[Task] | None = None,
) -> Bench:
    """The same bench with images that were attacked, each with its true class, and kept.

    Args:
        bench: of clean images.
        attack: what changes them.
        task: whose classifier is attacked, as it is: it knows of no defence.
        counts: see `under`.
        tasks: that are asked about these images; None keeps all.
    """
    found = {}
    for split, images in _few(bench, counts).items():
        found[split] = _attacked(bench, split, images, attack, task)
    return bench.derived(found, f" under {attack.name}", tasks)


def _few(bench: Bench, counts: Mapping[str, int] | None) -> dict[str, ImageSource]:
    splits = {}
    for name, images in bench.inputs.splits.items():
        most = (counts or {}).get(name)
        splits[name] = images if most is None else images.select(bench.drawn(images, most))
    return splits


def _shifted(images: ImageSource, shift: Shift | None, seed: int) -> ImageSource:
    return images if shift is None else ShiftedImages(images, shift, seed)


def _attacked(
    bench: Bench, split: str, images: ImageSource, attack: Attack, task: Task
) -> ImageSource:
    labels = images.columns[task.labels].values
    identity = identify(
        images=images, attack=attack, classifier=task.classifier, labels=labels, seed=bench.seed
    )
    folder = f"{bench.place}/attacked/{split}-{identity.digest}"
    store, rng = ShardStore(folder, identity), Rng(bench.seed, "attack")
    size = images_in_shard(images.image_spec, SHARD)
    plan = bench.plan()

    def answer(pixels: Tensor) -> Tensor:
        """What the classifier says of images as it is shown them."""
        names = [str(row) for row in range(len(pixels))]  # only chance would need their ids
        return task.answer(task.classifier(plan.shown(pixels, names)))

    def make(rows: range, tell: Tell) -> Shard:
        """Attack the images of some rows."""
        batch = images.read(rows)
        if not len(batch):
            return Shard(tensors={"images": batch.images}, ids=(), notes=dict(batch.skipped))
        known = labels[images.rows_of(batch.ids, rows)]
        changed = attack(
            answer,
            batch.images.to(bench.device),
            known.to(bench.device),
            rng.streams(batch.ids),
        )
        return Shard(tensors={"images": changed.cpu()}, ids=batch.ids, notes=dict(batch.skipped))

    run_shards(
        store,
        len(images),
        make,
        shard_size=size,
        stage=f"attack {split} images by {attack.name}",
        engine=bench.engine,
        progress=bench.progress,
    )
    found = StoreSource(folder, images.image_spec)
    found.columns = columns_of(images.columns, images.rows_of(found.ids))
    found.split, found.name = images.split, f"{images.name} under {attack.name}"
    return found
