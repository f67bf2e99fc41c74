"""Learn an encoder from a generator alone, then see what a linear probe reads from it.

    python examples/learn_from_a_generator.py

No real image is used for learning. More updates get the probe some points further; `genviews study
learning/table1` compares with learning from real images, with intervals.
"""

from genviews import (
    FeatureExtractor,
    LatentViews,
    LinearProbe,
    RepresentationConfig,
    RepresentationEncoder,
    RepresentationTraining,
    SamplePlan,
    StreamedBatches,
    StyleMix,
    load_generator,
    load_splits,
    train_representation,
)
from genviews.augment.presets import pixel_views
from genviews.represent.losses import NTXent
from genviews.represent.schedule import StepCosine


def main(updates: int = 60, batch: int = 64) -> float:
    """Train, probe, and return the accuracy."""
    kit = load_generator("fashion32")

    # A sample of the generator and a style-mixed neighbour are the two views of an anchor; pixel
    # views are made of both.
    views = LatentViews(kit.generator, StyleMix("fine"))
    pixels = pixel_views("fashion32/simclr")
    batches = StreamedBatches(views, SamplePlan(batch_size=batch), pixels, steps=updates)

    encoder = RepresentationEncoder(RepresentationConfig(backbone="compact", channels=1))
    training = RepresentationTraining(schedule=StepCosine(steps=updates, peak=0.03), log_every=20)
    trained = train_representation(encoder, batches, NTXent(), training)
    for record in trained.history:
        print(
            f"{record.step} updates: loss {record.loss:.2f}, {record.samples_per_second:.0f} "
            f"samples/s, {100 * record.data_share:.0f} % of the time spent waiting for views"
        )

    # Judge it on real images: fit on one part, choose on another, report on a third.
    splits = load_splits("fashion32/sample", kit.generator.image_spec)
    val, test = splits.calibration.load(), splits.test.load()
    fit, report = test.select(range(600)), test.select(range(600, 1000))
    features = FeatureExtractor(trained.encoder)
    probe = LinearProbe((0.01, 0.1, 1.0)).fit(features(fit.images), fit.labels, split="train")
    probe.select(features(val.images), val.labels, split="val")
    score = probe.score(features(report.images), report.labels, split="test")
    low, high = score.interval
    print(f"linear probe: {100 * score.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    return score.accuracy


if __name__ == "__main__":
    main()
