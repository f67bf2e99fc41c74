"""Second journey: a classifier as timm has them, and the generator that ships.

The classifier takes three channels of [0, 1], less a mean, over a std, as its `pretrained_cfg`
says; the pictures are grey and in [-1, 1]. With timm installed one line takes all of that from
the model:

    classifier = Classifier.from_timm(model, image_spec=spec, class_names=names)

Run: python examples/bring_your_own/journey_timm.py
"""

from __future__ import annotations

from dataclasses import replace

import cnn
import torch

from genviews import Classifier, GenerativeTTA, load_generator, load_splits

CFG = {"input_size": (3, 32, 32), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def main(
    calibration: int = 200, test: int = 200, steps: int = 30, training: int = 400
) -> tuple[float, float]:
    """Classify photographs of clothes; return the accuracy without and with generated views."""
    kit = load_generator("fashion32")
    spec = kit.generator.image_spec
    splits = load_splits("fashion32/sample", spec)
    photos = splits.calibration.load()
    val, ours = photos.select(slice(calibration)), splits.test.select(range(test)).load()
    # What timm's training would have seen.
    seen = photos.select(slice(calibration, None))
    mean, std = (torch.tensor(CFG[name])[:, None, None] for name in ("mean", "std"))
    inputs = ((seen.images.repeat(1, 3, 1, 1) + 1) / 2 - mean) / std
    network = cnn.train(inputs, seen.labels, training)

    classifier = Classifier(
        network,
        spec,
        splits.test.class_names,
        mean=CFG["mean"],
        std=CFG["std"],
        input_size=CFG["input_size"][1:],
        input_channels=CFG["input_size"][0],
        input_range="0..1",
    )
    tta = GenerativeTTA(
        classifier,
        kit.generator,
        inverter=replace(kit.inverter, steps=steps),
        perturbation="stylemix_fine",
        num_views=4,
    )
    tta.fit(val.images, val.labels)
    with torch.no_grad():
        single = classifier(ours.images).argmax(-1)
    answers = (single, tta.predict(ours.images))
    found = [float((said == ours.labels).float().mean()) for said in answers]
    alpha = tta.ensemble_.alpha_
    print(f"single image {found[0]:.3f}, with views {found[1]:.3f}, alpha {alpha:.2f}")
    return found[0], found[1]


if __name__ == "__main__":
    main()
