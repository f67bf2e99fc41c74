"""How good a representation is, and how good the generator that taught it.

    encoder -> extractor -> features -> probe, linear, sgd, svm -> accuracy, average precision
    generator -> fidelity -> FID, KID, precision, recall

`encoders` judges an encoder on labelled images, `transfer`, `voc` and `voc_detection` on published
data sets. A name has one address, that of the module which defines it; what most users need is in
`genviews` itself.
"""
