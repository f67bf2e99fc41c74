"""Identity: what a result depends on, so that it is used again only for what it was made from.

    store = ShardStore(folder, identify(generator=generator, inverter=inverter, source=source))

An identity has two halves. The **exact** parts are a description of each part in JSON values: data
and weights by their content, settings by their fields, functions by their name and code. They make
the digest. The **answers** are what a generator renders for a few fixed latents and a classifier
says of a few fixed images: code behind an unchanged name is known by them. They are kept beside the
work and compared within a tolerance that another device or number of threads does not exceed.

A batch size, a device, a number of threads is no part of any identity.
"""

from genviews.identity.describe import describe, key
from genviews.identity.keep import TOLERANCE, Identity, identify

__all__ = ["TOLERANCE", "Identity", "describe", "identify", "key"]
