"""A classifier, a generator, and the views between them, in a few lines: the README's quickstart.

Run: python examples/quickstart.py        (about half a minute on a CPU)
"""

from __future__ import annotations

from genviews import GenerativeTTA, load_classifier, load_generator, load_splits


def main(calibration: int = 100, test: int = 50, steps: int = 20) -> float:
    """Fit the weight of the views on `calibration` images, return the accuracy on `test` others."""
    kit = load_generator("fashion32", steps=steps)
    splits = load_splits("fashion32/sample", kit.generator.image_spec)
    fit_on = splits.calibration.select(range(calibration)).load()
    report_on = splits.test.select(range(test)).load()
    classifier = load_classifier("fashion32")
    tta = GenerativeTTA(classifier, kit, perturbation="stylemix_fine", num_views=8)
    tta.fit(fit_on.images, fit_on.labels)
    accuracy = float((tta.predict(report_on.images) == report_on.labels).float().mean())
    print(f"weight of the views {tta.ensemble_.alpha_:.2f}, accuracy {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
