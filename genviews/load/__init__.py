"""What a word stands for: a generator, images, splits, a classifier, an encoder.

The command line, recipes, notebooks and examples all call these, so that a word means the same
everywhere.
"""
