"""Generators: the image models the views come from, behind one protocol.

Read `genviews.generators.base` first. A name has one address, that of the module which defines it;
what most users need is in `genviews` itself.
"""
