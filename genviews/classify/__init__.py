"""The user's classifier with its image spec, a small network to train, and how it is trained.

    image -> invert -> latent -> perturb -> render -> CLASSIFY -> weigh -> prediction

`model.Classifier` wraps any module, `task.Task` says which question it answers, and
`train.train_classifier` trains one on images, or on views of them. A name has one address, that of
the module which defines it; what most users need is in `genviews` itself.
"""
