"""What may happen to a picture before it is classified, and what may be done against it.

    image -> CORRUPT or ATTACK -> restore -> invert -> latent -> perturb -> render -> classify

Read `genviews.robustness.corruption` first. A name has one address, that of the module which
defines it.
"""
