"""The learning arrow: views of sampled latents, an encoder of them, and how it is trained.

    prior -> sample -> latent -> perturb -> render -> augment -> ENCODE -> representation

Read `genviews.represent.views` first, then `genviews.represent.train`. Objectives are in
`genviews.represent.losses`. A name has one address, that of the module which defines it; what most
users need is in `genviews` itself.
"""
