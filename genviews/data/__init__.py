"""Where images come from: whole sets in memory, or sources that are read in parts.

Read `genviews.data.source` first. A name has one address, that of the module which defines it; what
most users need is in `genviews` itself.
"""
