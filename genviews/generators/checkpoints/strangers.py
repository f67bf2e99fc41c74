"""Files of families that are not opened: what they are, and which way remains.

Some are known by their first or last bytes, others by the names of their weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from genviews.checks import fail, option
from genviews.user_code import GUIDE

__all__ = ["SCRIPT", "WRITE", "Stranger", "stranger", "stranger_of_keys"]

WRITE = (
    "write a function without arguments that builds the generator and loads it, and name that as "
    f"package.module:function; see {GUIDE}"
)
_UNPACK = "unpack it, and name the file of weights in it"
_CONVERT = "save its weights with torch, and write a function that builds the generator of them"


class Stranger(NamedTuple):
    """A file that is known and not opened.

    Args:
        name: what it is, in words.
        remedy: which way remains.
    """

    name: str
    remedy: str

    def refuse(self, what: str) -> NoReturn:
        """Raise ValueError that says what the file is; starts with `what`."""
        fail(what, expected="a family that is opened", got=self.name, remedy=self.remedy)


_STARTS: tuple[tuple[bytes, Stranger], ...] = (
    (b"\x89HDF\r\n\x1a\n", Stranger("a file of Keras or TensorFlow (HDF5)", _CONVERT)),
    (b"\x1f\x8b", Stranger("a gzip archive", _UNPACK)),
    (b"BZh", Stranger("a bzip2 archive", _UNPACK)),
    (b"\xfd7zXZ\x00", Stranger("an xz archive", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Stranger("a 7z archive", _UNPACK)),
    (b"Rar!", Stranger("a rar archive", _UNPACK)),
    (b"GGUF", Stranger("a quantised language model (GGUF)", WRITE)),
    (b"\x93NUMPY", Stranger("an array of numpy", WRITE)),
    (b"\x89PNG", Stranger("a picture", "name a file of weights")),
    (b"\xff\xd8\xff", Stranger("a picture", "name a file of weights")),
    (b"%PDF", Stranger("a PDF", "name a file of weights")),
    (b"\x08\x01\x12", Stranger("a saved model of TensorFlow", _CONVERT)),
)
SCRIPT = Stranger(
    "a TorchScript file",
    "write a function without arguments that returns torch.jit.load(the file), and name that as "
    f"package.module:function; see {GUIDE}",
)
"""A network that torch.jit saved, whose attributes stand for themselves."""
_TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # at the end of an index of TensorFlow's variables


def stranger(head: bytes, tail: bytes = b"") -> Stranger | None:
    """Return what the first 512 and the last 8 bytes of a file say that it is, else None."""
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[257:262] == b"ustar":
        return Stranger("a tar archive", _UNPACK)
    if head[:1] == b"\x08" and b"pytorch" in head[:40]:
        return Stranger("a model of ONNX", WRITE)
    if tail == _TABLE:
        return Stranger("an index of TensorFlow's variables", _CONVERT)
    if re.match(rb"[\x81-\x8f][\xa1-\xbf]", head):  # a short map, whose first key is text
        return Stranger("weights of Flax (msgpack)", _CONVERT)
    return None


_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("model.diffusion_model.input_blocks.0.0.weight",), "a latent diffusion model"),
    (("time_embed.0.weight", "input_blocks.0.0.weight"), "a diffusion network of ADM's layout"),
    (("x_embedder.proj.weight", "t_embedder.mlp.0.weight"), "a diffusion transformer (DiT)"),
    (("quantize.embedding.weight", "decoder.conv_in.weight"), "a VQGAN"),
    (("temb.dense.0.weight", "conv_in.weight"), "a diffusion network of DDPM's layout"),
    (("linear0.weight", "blocks.0.0.conv2d1.weight"), "a generator of StudioGAN"),
    (("linear0.weight", "blocks.0.0.conv2d1.weight_orig"), "a generator of StudioGAN"),
)

_PARTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("time_embedding.linear_1.weight", "conv_in.weight"), "one network of a diffusers folder"),
    (
        ("encoder.conv_in.weight", "decoder.mid_block.resnets.0.conv1.weight"),
        "an autoencoder of a diffusers folder",
    ),
)
_ENCODERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("layer5.conv5.weight",), "an encoder of inversions, or a classifier, of Chai et al. 2021"),
    (("block0.conv.weight", "block1.wscale1.bias"), "an encoder of In-Domain inversion"),
)
_BESIDE = f"name its generator, and this one as {option('encoder')}"
_FOLDER = "name the folder, with its model_index.json, or the config.json of an autoencoder"


def stranger_of_keys(names: Iterable[object]) -> Stranger | None:
    """Return what the names of weights say that a file is, with or without `module.`, else None."""
    bare = {one.removeprefix("module.") for one in names if isinstance(one, str)}
    for table, remedy in ((_KEYS, WRITE), (_PARTS, _FOLDER), (_ENCODERS, _BESIDE)):
        for keys, found in table:
            if bare.issuperset(keys):
                return Stranger(found, remedy)
    return None
