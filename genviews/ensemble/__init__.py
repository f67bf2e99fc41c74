"""Predictions of many views, weighed into one: banks, rules, significance.

    image -> invert -> latent -> perturb -> render -> classify -> WEIGH -> prediction

`views` makes them, `fill` classifies them into a `bank`, `weigh` has the rule; `choose` and
`combine` make the rows of a table of it. A name has one address, that of the module which defines
it; what most users need is in `genviews` itself.
"""
