"""Hostile files of other people's generators, made here: each is refused, and nothing of it is run.

Those that hold code beside a whole generator are read, without the code.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.hostile_case import Case, Want
from benchmarks.nvidia_files import (
    persistence,
    pytorch_network,
    pytorch_pickle,
    tensorflow_pickle,
)
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.load.generator import load_generator

__all__ = ["Bomb", "ExecutedError", "checkpoint_cases", "executed", "pickles_that_call"]

CONFIG = StyleGAN2Config(
    resolution=16, img_channels=1, z_dim=8, w_dim=8, mapping_layers=2, channels={4: 8, 8: 8, 16: 4}
)


class ExecutedError(BaseException):
    """A file was run; no `Exception`, so that nothing swallows it."""


def executed(*args: object, **kwargs: object) -> None:
    """What a hostile pickle calls."""
    raise ExecutedError


class Bomb:
    """An object whose pickle calls `executed`, also where its state is set."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[()]]:
        return executed, ()

    def __setstate__(self, state: object) -> None:
        raise ExecutedError


def checkpoint_cases(folder: Path) -> Iterator[Case]:
    """All of them; files are made below a folder."""
    folder.mkdir(parents=True)
    groups: dict[str, Callable[[], _Cases]] = {
        "calls": _calls,
        "sizes": _sizes,
        "damaged": _damaged,
        "torch": _torch_files,
        "networks": _networks,
        "tensorflow": _tensorflow,
        "strangers": _strangers,
    }
    for group, make in groups.items():
        for number, (name, data, want) in enumerate(make()):
            # A wrong ending: nobody may believe it.
            path = folder / f"{group}{number:03d}{('.pkl', '.pt', '.pth')[number % 3]}"
            path.write_bytes(data)
            yield _case(f"{group}: {name}", path, want)
    yield from _sparse(folder)
    yield from _no_files(folder)


def _case(name: str, path: Path, want: Want = "refusal") -> Case:
    read = partial(load_generator, path)
    return Case(name=f"checkpoint {name}", kind="model", open=read, want=want, names=path.name)


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def _global(name: str) -> bytes:
    module, _, own = name.rpartition(".")
    return f"c{module}\n{own}\n".encode()


def _bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def _call(name: str, *arguments: bytes) -> bytes:
    return _global(name) + b"(" + b"".join(arguments) + b"tR"


_EXECUTED, _BOMB = (_global(f"benchmarks.hostile_checkpoints.{n}") for n in ("executed", "Bomb"))
_RUN = _EXECUTED + b")R"


def pickles_that_call() -> dict[str, bytes]:
    """Every way in which a pickle makes a program call something, as opcodes of one value."""
    module, none = "benchmarks.hostile_checkpoints", b"N"
    load = "torch.storage._load_from_bytes"
    return {
        "REDUCE": _RUN,
        "REDUCE of two texts": _text(module) + _text("executed") + b"\x93)R",
        "INST": f"(i{module}\nexecuted\n".encode(),
        "OBJ": b"(" + _EXECUTED + b"o",
        "NEWOBJ": _BOMB + b")\x81}b",
        "NEWOBJ_EX": _BOMB + b")}\x92}b",
        "BUILD": _BOMB + b")\x81" + _text("a") + none + b"\x86b",
        "BUILD of a class": _BOMB + b"}" + _text("__reduce__") + _EXECUTED + b"sb",
        "EXT1": b"\x82\x01)R",
        "EXT2": b"\x83\x01\x00)R",
        "EXT4": b"\x84\x01\x00\x00\x00)R",
        "PERSID": b"Pos.system\n",
        "BINPERSID": _RUN + b"Q",
        "the key of a dict": b"}" + _RUN + b"Ns",
        "a member of a set": b"\x8f(" + _RUN + b"\x90",
        "a member of a frozen set": b"(" + _RUN + b"\x91",
        "an item of a list": b"](" + _RUN + b"e",
        "an argument of a harmless call": _call("collections.OrderedDict", _RUN),
        "a call without end": _EXECUTED + b")R" * 1000,
        "os.system": _call("os.system", _text("true")),
        "posix.system": _call("posix.system", _text("true")),
        "builtins.eval": _call("builtins.eval", _text("__import__('os').system('true')")),
        "builtins.exec": _call("builtins.exec", _text("raise SystemExit")),
        "builtins.getattr": _call("builtins.getattr", _BOMB, _text("__reduce__")),
        "builtins.__import__": _call("builtins.__import__", _text("antigravity")),
        "__builtin__.apply": _call("__builtin__.apply", _EXECUTED, b")"),
        "functools.partial": _call("functools.partial", _EXECUTED) + b")R",
        "operator.attrgetter": _call("operator.attrgetter", _text("system")) + b")R",
        "pickle.loads": _call("pickle.loads", b"C\x02N."),
        "torch.load": _call("torch.load", _text("/etc/passwd")),
        "subprocess.Popen": _call("subprocess.Popen", _text("true")),
        "a name with dots": _call("os.path.os.system", _text("true")),
        "copyreg._reconstructor": _call("copyreg._reconstructor", _BOMB, _BOMB, none) + b"}b",
        "a subclass of an array": _call(
            "numpy.core.multiarray._reconstruct", _BOMB, b"K\x00\x85", b"C\x01b"
        ),
        "a parameter": _call("torch._utils._rebuild_parameter", _RUN, b"\x89", none),
        "a tensor of a type": _call(
            "torch._tensor._rebuild_from_type_v2", _EXECUTED, _BOMB, b")", none
        ),
        "a file of torch in it": _call(load, _bytes(_saved(Bomb()))),
        "an old file of torch in it": _call(load, _bytes(_saved(Bomb(), zipped=False))),
        "a pickle in it": _call(load, _bytes(pickle.dumps(Bomb()))),
    }


def _saved(value: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


_Cases = Iterator[tuple[str, bytes, Want]]


def _calls() -> _Cases:
    for name, code in pickles_that_call().items():
        yield f"{name} alone", b"\x80\x04" + code + b".", "refusal"
        inside = b"\x80\x04}" + _text("G_ema") + code + b"s."
        yield f"{name} as the generator", inside, "refusal"
    yield "a pickle of Python", pickle.dumps(Bomb()), "refusal"
    yield "a file of torch", _saved(Bomb()), "refusal"
    yield "an old file of torch", _saved(Bomb(), zipped=False), "refusal"
    yield "in the place of a state dict", _saved({"g_ema": Bomb()}), "refusal"
    ours = StyleGAN2(CONFIG)
    yield "a whole generator beside D that calls", pytorch_pickle(ours, D=Bomb()), "answer"
    yield "a whole generator beside G that calls", pytorch_pickle(ours, G=Bomb()), "answer"
    yield "G_ema that calls", pytorch_pickle(ours, G_ema=Bomb()), "refusal"
    for place in ("synthesis.b8.conv1.weight", "mapping.w_avg", "synthesis.b4.resample_filter"):
        yield f"{place} that calls", _changed(place, Bomb()), "refusal"
    yield "a part that calls", _changed("synthesis.b8", Bomb()), "refusal"
    yield "an attribute that calls", _changed("mapping.z_dim", Bomb()), "refusal"


def _changed(place: str, value: object) -> bytes:
    """A good file but for one parameter, buffer, part or attribute."""
    network = pytorch_network(StyleGAN2(CONFIG))
    part, _, name = place.rpartition(".")
    state = vars(network.get_submodule(part))
    tables = (state["_parameters"], state["_buffers"], state["_modules"], state)
    next(table for table in tables if name in table)[name] = value
    return pytorch_pickle(network)


def _sizes() -> _Cases:
    """Lengths that lie, and what grows."""
    start, big, made = b"\x80\x04", 2**63 - 1, _global("a.b") + b")R"
    bodies = {
        "a memo of 2^32 places": b"Nr\xff\xff\xff\xff",
        "a place of 10^6 digits in the memo": b"Np" + b"9" * 10**6 + b"\n",
        "a place of 3,000 digits in the memo": b"Np" + b"9" * 3000 + b"\n",
        "a whole number of 2^31 bytes": b"\x8b\xff\xff\xff\x7f",
        "a whole number of 10 MB": b"\x8b" + struct.pack("<I", 10**7) + b"\x7f" * 10**7,
        "a whole number of 3,000 digits": b"L" + b"9" * 3000 + b"L\n",
        "a fraction of 3,000 digits": b"F" + b"9" * 3000 + b"\n",
        "a line without end": b"c" + b"a" * 10**7,
        "a text of 2^63 bytes": b"\x8d" + struct.pack("<Q", big),
        "a text of 2^32 bytes": b"X" + struct.pack("<I", 2**32 - 1),
        "an old text of 2^32 bytes": b"T" + struct.pack("<I", 2**32 - 1),
        "a text of 40 MB": b"X" + struct.pack("<I", 4 * 10**7) + b"a" * 4 * 10**7,
        "bytes of 2^63 bytes": b"\x8e" + struct.pack("<Q", big),
        "a bytearray of 2^40 bytes": b"\x96" + struct.pack("<Q", 2**40),
        "a frame of 2^63 bytes": b"\x95" + struct.pack("<Q", big),
        "10^6 lists": b"]" * 10**6,
        "10^6 sets": b"\x8f" * 10**6,
        "10^6 dicts": b"}" * 10**6,
        "10^6 marks": b"(" * 10**6,
        "10^6 copies": b"N" + b"2" * 10**6,
        "10^6 names": _global("a.b") * 10**6,
        "10^5 lists in each other": b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
        "10^5 tuples in each other": b")" + b"\x85" * 10**5 + b".",
        "10^5 tuples as a key": b"})" + b"\x85" * 10**5 + b"Ns.",
        "10^4 states in each other": made + made * 10**4 + b"b" * 10**4 + b".",
        "lists that double": b"]" + b"2\x86]q\x00h\x00h\x00\x86" * 60 + b".",
        "a list that holds itself": b"]q\x00h\x00a.",
        "a network that holds itself": _endless(),
    }
    for name, body in bodies.items():
        yield name, start + body, "refusal"


def _endless() -> bytes:
    """A network, each of whose hundred parts is itself."""
    name = b"ctorch.nn\nModule\n)\x81q\x00"
    parts = b"}(" + b"".join(_text(str(i)) + b"h\x00" for i in range(100)) + b"u"
    state = b"}(" + _text("_modules") + parts + _text("_parameters") + b"}" + _text("_buffers")
    return b"}" + _text("G_ema") + name + state + b"}ubs."


def _damaged() -> _Cases:
    good = pytorch_pickle(StyleGAN2(CONFIG))
    for tenth in range(1, 10):
        yield f"{tenth} tenths of it", good[: len(good) * tenth // 10], "refusal"
    yield "all but the last byte", good[:-1], "refusal"
    half = len(good) // 2
    yield "zeros in the middle", good[:half] + bytes(2000) + good[half + 2000 :], "refusal"
    bodies = {
        "nothing but an end": b".",
        "an unknown opcode": b"\xff.",
        "protocol 9": b"\x80\x09N.",
        "a value from an empty stack": b"0.",
        "a mark that is not there": b"1.",
        "a tuple of what is not there": b"\x87.",
        "a place of the memo that is empty": b"h\x07.",
        "an odd dict": b"(Nd.",
        "an item of a number": b"K\x01Na.",
        "a key of a tuple": b")NNs.",
        "a state of a number": b"K\x01Nb.",
        "a list as a key": b"}]Ns.",
        "a name of numbers": b"K\x01K\x02\x93.",
        "a buffer outside": b"\x97.",
        "text that is none": b"\x8c\x02\xff\xff.",
        "a number that is none": b"Iabc\n.",
        "None": b"N.",
        "a number": b"K\x01.",
        "an empty dict": b"}.",
        "a dict of numbers": b"}(K\x01K\x02u.",
    }
    for name, body in bodies.items():
        yield name, b"\x80\x04" + body, "refusal"


def _torch_files() -> _Cases:
    state = {"g_ema": {"weight": torch.zeros(4, 4)}}
    good, old = _saved(state), _saved(state, zipped=False)
    for name, data in (("a file", good), ("an old file", old)):
        yield f"{name} of a state dict that nobody knows", data, "refusal"
        for third in (1, 2):
            yield f"{third} thirds of {name}", data[: len(data) * third // 3], "refusal"
    yield "a compressed value", _zipped({"archive/data.pkl": bytes(10**7)}), "refusal"
    entry = _zipped({"archive/data.pkl": b"N."}, False)
    place = entry.index(b"PK\x01\x02")
    more = entry[:place] + entry[place : entry.index(b"PK\x05\x06")] * 10**5
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10**4, 10**4, len(more) - place, place, 0)
    yield "a list of 100,000 entries", more + end, "refusal"
    yield "no value", _zipped({"archive/other": b"N."}, False), "refusal"
    yield "arrays of numpy", _arrays(), "refusal"
    yield "a directory of 2^31 bytes", good[:-10] + b"\xff\xff\xff\x7f" + good[-6:], "refusal"
    yield "big bytes first", _rezipped(good, {"byteorder": b"big"}), "refusal"
    yield "a storage that is not there", _rezipped(_networked(), {"data/0": None}), "refusal"
    yield "a storage that is too short", _rezipped(_networked(), {"data/0": b"\0\0"}), "refusal"
    yield "a compressed storage", _rezipped(_networked(), {}, compressed="data/0"), "refusal"
    whole = _networked()
    yield "a generator in a file of torch", whole, "answer"
    yield "a generator in an old file of torch", _networked(zipped=False), "answer"
    yield "an old file whose storage is of 2^62 numbers", _lying_count(), "refusal"
    for name, change in {
        "a shape of 2^40": {"shape": (2**40,)},
        "a shape that is negative": {"shape": (-1, 8)},
        "a shape of texts": {"shape": ("8", "8")},
        "strides of 2^40": {"stride": (2**40, 1)},
        "strides of 0": {"shape": (2**20, 2**10), "stride": (0, 0)},
        "an offset of 2^40": {"offset": 2**40},
        "an offset that is negative": {"offset": -4},
        "40 axes": {"shape": (1,) * 40, "stride": (1,) * 40},
    }.items():
        yield name, _changed("mapping.fc0.weight", _LyingTensor(**change)), "refusal"


def _zipped(entries: Mapping[str, bytes], compressed: bool = True) -> bytes:
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def _rezipped(data: bytes, changes: Mapping[str, bytes | None], compressed: str = "") -> bytes:
    """A file of torch with some parts changed or left out, or one of them compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for one in old.infolist():
            name = one.filename.partition("/")[2]
            content = changes.get(name, old.read(one))
            kind = zipfile.ZIP_DEFLATED if name == compressed else zipfile.ZIP_STORED
            if content is not None:
                new.writestr(one.filename, content, kind)
    return file.getvalue()


def _arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, w=np.zeros(3))
    return file.getvalue()


def _networked(*, zipped: bool = True) -> bytes:
    """A generator of NVIDIA's that somebody saved with torch."""
    network = pytorch_network(StyleGAN2(CONFIG))
    with persistence():
        return _saved({"G_ema": network}, zipped=zipped)


def _lying_count() -> bytes:
    data = _networked(zipped=False)
    count = struct.pack("<q", 8)  # of the first bias of 8 numbers
    place = data.rindex(count)
    return data[:place] + struct.pack("<q", 2**62) + data[place + 8 :]


class _LyingTensor:
    """A tensor of 8 x 8, of which something else is said."""

    def __init__(self, **change: object) -> None:
        self._said = {"offset": 0, "shape": (8, 8), "stride": (8, 1)} | change

    def __reduce__(self) -> tuple[Any, ...]:
        storage = torch.storage.TypedStorage(
            wrap_storage=torch.zeros(8, 8).untyped_storage(), dtype=torch.float32, _internal=True
        )
        place = (self._said["offset"], self._said["shape"], self._said["stride"])
        return torch._utils._rebuild_tensor_v2, (storage, *place, False, {})


def _networks() -> _Cases:
    """A pickle of NVIDIA's, in which something is wrong."""
    ours = StyleGAN2(CONFIG)
    nan, weight = float("nan"), torch.randn(8, 8)
    yield "a good one", pytorch_pickle(ours), "answer"
    changes: dict[str, object] = {
        "mapping.fc0.weight": weight * nan,
        "mapping.fc1.weight": weight / 0,
        "mapping.fc0.bias": torch.zeros(8, dtype=torch.int64),
        "mapping.fc1.bias": torch.zeros(8, dtype=torch.bool),
        "mapping.w_avg": torch.zeros(8, dtype=torch.float32)[:0],
        "synthesis.b8.conv0.weight": torch.zeros(8, 8, 3, 1),
        "synthesis.b8.conv1.weight": None,
        "synthesis.b8.conv0": None,
        "synthesis.b8": None,
        "synthesis.b4": None,
        "synthesis.b16.torgb": nn.Linear(2, 2),
        "synthesis": None,
        "mapping": None,
        "synthesis.img_resolution": 2**20,
        "synthesis.img_channels": 10**9,
        "synthesis.b8.architecture": "resnet",
        "synthesis.b4.resample_filter": torch.zeros(4, 4),
        "synthesis.b16.resample_filter": torch.ones(2, 2) / 4,
        "synthesis.b8.conv1.activation": "relu",
        "synthesis.b8.conv1.conv_clamp": 3.0,
        "synthesis.b8.conv1.use_noise": "yes",
        "mapping.z_dim": 10**12,
        "mapping.w_dim": "8",
        "mapping.c_dim": 7,
        "mapping.fc0.bias_gain": nan,
        "mapping.fc1.bias_gain": "fast",
    }
    for place, value in changes.items():
        told = f"{tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)[:20]
        yield f"{place} is {told}", _changed(place, value), "refusal"
    yield "no generator", pytorch_pickle(ours, G=None, G_ema=None), "refusal"
    yield "a dict for a generator", pytorch_pickle(ours, G_ema={"a": 1}), "refusal"
    alone = {name: part for name, part in pytorch_network(ours).named_children()}
    yield "the mapping alone", pytorch_pickle(alone["mapping"]), "refusal"
    yield "a network of another class", _plain_pickle({"G_ema": nn.Linear(3, 3)}), "refusal"


def _plain_pickle(value: object) -> bytes:
    return pickle.dumps(value)


def _tensorflow() -> _Cases:
    yield "a good one", tensorflow_pickle(CONFIG), "answer"
    for change in (
        {"resolution": 2**1000},
        {"resolution": 2**14},
        {"resolution": 12},
        {"resolution": "16"},
        {"mapping_layers": 10**9},
        {"mapping_layers": 1},
        {"latent_size": 10**12},
        {"dlatent_size": None},
        {"label_size": 3},
        {"num_channels": 10**6},
        {"architecture": "orig"},
        {"nonlinearity": "relu"},
        {"mapping_fmaps": 99},
        {"resample_kernel": 3},
        {"resample_kernel": [nan for nan in (float("nan"),) * 4]},
        {"conv_clamp": "no"},
        {"randomize_noise": True},
        {"resolution_h": 512},
        {"use_noise": 3},
    ):
        yield str(change)[:60], tensorflow_pickle(CONFIG, kwargs=change), "refusal"
    wide = replace(CONFIG, channels={4: 8, 8: 8, 16: 8})
    good = tensorflow_pickle(wide)
    yield "half of it", good[: len(good) // 2], "refusal"
    yield "version 3", tensorflow_pickle(wide, version=3), "refusal"
    for was, now in (("dlatent_avg", "dlatent_min"), ("4x4/Conv/bias", "4x4/Conv/bise")):
        yield f"no {was}", good.replace(was.encode(), now.encode()), "refusal"


def _strangers() -> _Cases:
    """Files of other families and of none."""
    adm = {"time_embed.0.weight": torch.zeros(1), "input_blocks.0.0.weight": torch.zeros(1)}
    dit = {"x_embedder.proj.weight": torch.zeros(1), "t_embedder.mlp.0.weight": torch.zeros(1)}
    vq = {"quantize.embedding.weight": torch.zeros(1), "decoder.conv_in.weight": torch.zeros(1)}
    studio = {"linear0.weight": torch.zeros(1), "blocks.0.0.conv2d1.weight": torch.zeros(1)}
    page = b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
    for name, data in {
        "ADM": _saved(adm),
        "DiT": _saved({"ema": dit}),
        "VQGAN": _saved({"state_dict": vq}),
        "StudioGAN": _saved({"state_dict": studio, "optimizer": {}}),
        "StudioGAN of several GPUs": _saved({f"module.{k}": v for k, v in studio.items()}),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "tar": b"a" * 257 + b"ustar" + bytes(300),
        "Flax": b"\x81\xa6params\x81\xa1a\x01" + bytes(50),
        "a saved model of TensorFlow": b"\x08\x01\x12" + bytes(50),
        "GGUF": b"GGUF" + bytes(50),
        "a page of a quota": page,
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
        "text": b"hello\n",
        "JSON": b'{"resolution": 8}',
        "nothing": b"",
        "one byte": b"\x80",
        "a zip file that is none": b"PK\x03\x04" + bytes(100),
        "the first bytes of an old file": _saved({}, zipped=False)[:20],
    }.items():
        yield name, data, "refusal"


def _sparse(folder: Path) -> Iterator[Case]:
    """Files of 8 GB, of which hardly a byte lies on the disk."""
    size = 8 * 10**9
    head = b"\x80\x04\x8e" + struct.pack("<Q", size)
    for name, start, end in (
        ("zeros", b"", b""),
        ("a pickle of zeros", b"\x80\x04", b""),
        ("bytes in a pickle", head, b"."),
        ("a zip file", b"PK\x03\x04", b""),
    ):
        path = folder / f"sparse{name.replace(' ', '_')}.pkl"
        path.write_bytes(start)
        with open(path, "r+b") as file:
            file.truncate(len(start) + size)
            file.seek(0, os.SEEK_END)
            file.write(end)
        yield _case(f"8 GB: {name}", path)


def _no_files(folder: Path) -> Iterator[Case]:
    """What is no file."""
    makes: dict[str, Callable[[Path], object]] = {
        "folder.pkl": Path.mkdir,
        "pipe.pkl": os.mkfifo,
        "nowhere.pkl": lambda path: path.symlink_to("nothing"),
        "device.pkl": lambda path: path.symlink_to("/dev/zero"),
    }
    for name, make in makes.items():
        make(folder / name)
        yield _case(f"no file: {name}", folder / name)
