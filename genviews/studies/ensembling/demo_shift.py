"""The shift of the demo: one home for it, which the command line reads without PyTorch."""

__all__ = ["SHIFT"]

SHIFT = "gaussian_blur:3@imagenet-c"
"""Of the table of shifts that whose gain over every rival is surest on calibration images.

Source: recipes/fashion32/choose_shift.py, results/fashion32/choose_shift.json.
"""
