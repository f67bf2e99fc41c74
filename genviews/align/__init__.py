"""Alignment: an image brought to the pose and frame that a generator draws, with what is known.

Read `genviews.align.base` first, then `genviews.align.aligners`. A name has one address, that of
the module which defines it.
"""
