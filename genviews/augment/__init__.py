"""Pixel transforms of images: the classic test-time views, and the augmentation of training.

They stand beside the latent views on the test-time arrow, `image -> T_x -> classify`, and may
follow them, `render(perturb(latent)) -> T_x -> classify` (the papers' "combined" views). On the
learning arrow they follow every view, `render(perturb(latent)) -> T_x -> encode` (`SimCLR`). Every
transform is batched and runs on the device of its input; each view of each image gets its own
parameters, drawn from that image's stream, so an image never depends on its neighbours. Images are
in [-1, 1].

A transform of strength zero is the identity, bit for bit.

A name has one address, that of the module which defines it.
"""
