"""Inversion: images to the latents that reproduce them.

    image -> align -> INVERT -> latent -> perturb -> render -> classify -> weigh

Read `genviews.invert.optimize` first, then `genviews.invert.inverter`. A name has one address, that
of the module which defines it; what most users need is in `genviews` itself.
"""
