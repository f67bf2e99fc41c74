"""The shift of the demo: one home for it, which the command line reads without PyTorch."""

__all__ = ["SHIFT"]

SHIFT = "gaussian_blur:3@imagenet-c"
"""Of the table of shifts that whose gain is surest on calibration images, over the image, pixel
views, the reconstruction and the best filter that needs no extra.

Source: recipes/fashion32/choose_shift.py, results/fashion32/choose_shift.json.
"""
