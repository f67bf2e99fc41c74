"""Perturbations: the latents of an image to the latents of its views.

Read `genviews.perturb.base` first. A name has one address, that of the module which defines it;
what most users need is in `genviews` itself.
"""
