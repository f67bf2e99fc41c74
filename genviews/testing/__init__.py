"""Conformance suites: what every implementation of a protocol must do, runnable on any."""

from genviews.testing.generators import GENERATOR_CHECKS, check_generator

__all__ = ["GENERATOR_CHECKS", "check_generator"]
