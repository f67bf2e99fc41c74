"""Files of every format, damaged in their bytes or in what they say: an answer, or one sentence.

A case is a good file of `tests.formats`, in which bytes are others, or entries, shapes, types and
numbers are. Nothing of it is run, nothing but a sentence of our own is raised, and it ends soon.
"""

from __future__ import annotations

import copy
import pickletools
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.hostile_checkpoints import Bomb
from genviews.generators.checkpoints import READERS
from genviews.generators.checkpoints.contents import open_contents
from genviews.generators.families import FAMILIES, family_of
from genviews.load.generator import load_generator
from tests.formats import FORMATS, GROUPS, OTHERS, OURS, content_of
from tests.strategies import TENSORS

# As a user's program runs: types are looked at by nobody else, and a package may warn as it likes.
pytestmark = [pytest.mark.as_installed, pytest.mark.filterwarnings("ignore")]

SECONDS = 10  # of the processor; a fifth of it on a machine of its own


# ---- The table -----------------------------------------------------------------------------------


def test_every_reader_knows_a_format_of_the_table(tmp_path):
    known = {}
    for number, (name, one) in enumerate(OTHERS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        contents = open_contents(one.write(content_of(name), folder))
        known[name] = next(reader for reader in READERS if reader.knows(contents))
    assert set(known.values()) == set(READERS)


def test_every_family_is_written_by_one(tmp_path):
    found = set()
    for number, name in enumerate(name for name in OURS if name.startswith("our own, ")):
        folder = tmp_path / str(number)
        folder.mkdir()
        kit = load_generator(OURS[name].write(content_of(name), folder))
        found.add(family_of(kit.generator)[0])
    assert found == set(FAMILIES)


# ---- Other content -------------------------------------------------------------------------------

_OF_MODULES = ("_parameters", "_buffers", "_modules", "_init_kwargs", "_init_args")


def parts_of(value: object) -> dict[object, object]:
    """What a value holds, by key; {} of a leaf."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if isinstance(value, Tensor | str | bytes | type) or not vars_of(value):
        return {}
    return {k: v for k, v in vars_of(value).items() if k[:1] != "_" or k in _OF_MODULES}


def vars_of(value: object) -> dict[str, object]:
    try:
        return vars(value)
    except TypeError:
        return {}


def with_parts(value: object, parts: dict[object, object]) -> object:
    """The value with other parts; the same object is never changed."""
    if isinstance(value, dict):
        made = copy.copy(value)
        made.clear()
        made.update(parts)
        return made
    if isinstance(value, list | tuple):
        return type(value)(parts.values())
    made = object.__new__(type(value))
    rest = {k: v for k, v in vars(value).items() if k not in parts_of(value)}
    vars(made).update(rest | {str(k): v for k, v in parts.items()})
    return made


def places(value: object, path: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """(path, value) of all that a value holds, at any depth."""
    for key, part in parts_of(value).items():
        yield (*path, key), part
        yield from places(part, (*path, key))


def changed(value: object, path: tuple, change) -> object:
    """The value after `change(parts, key)` of the table that holds the end of a path."""
    parts = parts_of(value)
    if len(path) == 1:
        change(parts, path[0])
    else:
        parts[path[0]] = changed(parts[path[0]], path[1:], change)
    return with_parts(value, parts)


THINGS = (None, True, "text", "", b"x", [], {}, (), (1, 2), [[]], {"a": 1}, Bomb())
NUMBERS = (0, 1, -1, 2, 3, 7, 1000, 2**31, 2**40, 2**62, 10**30, 0.5, 1e-300, 1e300)
NUMBERS = (*NUMBERS, float("nan"), float("inf"), -float("inf"))
MADE = (torch.zeros(0), torch.zeros([]), torch.zeros(2, 2), torch.zeros(1).expand(2**30))
BY = (lambda x: x + 1, lambda x: x - 1, lambda x: 2 * x, lambda x: x // 2, lambda x: -x, float, str)


@st.composite
def other(draw, value, whole):
    """Something in the place of a value of a content."""
    kinds = ["thing", "number", "made", "another"]
    if isinstance(value, Tensor) and value.numel() < 2**20:
        kinds += ["tensor"] * 6
    elif isinstance(value, int | float) and not isinstance(value, bool):
        kinds += ["by"] * 4
    elif isinstance(value, str):
        kinds += ["word"] * 2
    elif parts_of(value):
        kinds += ["fewer"] * 2
    kind = draw(st.sampled_from(kinds))
    if kind == "tensor":
        turn = draw(st.sampled_from(sorted(TENSORS)))
        try:
            return TENSORS[turn](value, draw(st.integers(0, 3)))
        except (RuntimeError, ValueError, ZeroDivisionError, IndexError, TypeError):
            return value[None]  # which not every tensor can be turned into
    if kind == "by":
        try:
            return draw(st.sampled_from(BY))(value)
        except (OverflowError, ValueError):
            return None
    if kind == "word":
        return value + draw(st.sampled_from(("x", ".weight", "\0", "é")))
    if kind == "fewer":
        parts = list(parts_of(value).items())
        return with_parts(value, dict(parts[: draw(st.integers(0, len(parts) - 1))]))
    if kind == "another":
        return draw(st.sampled_from(whole))[1]
    return draw(st.sampled_from({"thing": THINGS, "number": NUMBERS, "made": MADE}[kind]))


@st.composite
def other_content(draw, name):
    """What a good file of a format holds, changed in one to three places."""
    content = content_of(name)
    for _ in range(draw(st.integers(1, 3))):
        whole = list(places(content))
        if not whole:
            break
        kinds = sorted({type(value).__name__ for _, value in whole})
        kind = draw(st.sampled_from(kinds))
        path, value = draw(st.sampled_from([p for p in whole if type(p[1]).__name__ == kind]))
        what = draw(st.sampled_from(("other", "other", "other", "gone", "named", "twice", "moved")))

        def change(parts, key, what=what, value=value, whole=whole):
            if what == "other":
                parts[key] = draw(other(value, whole))
            elif what == "gone":
                del parts[key]
            elif what == "moved":
                parts[key], last = parts[list(parts)[-1]], parts[key]
                parts[list(parts)[-1]] = last
            else:
                new = draw(st.sampled_from((f"{key}x", f"{key}.0", f"module.{key}", "weight", "")))
                parts[new] = parts[key] if what == "twice" else parts.pop(key)

        content = changed(content, path, change)
    return content


CONFIG = ("header", "__metadata__", "config")
WORDS = ("tokenizer/tokenizer.json", "model", "vocab")
FOUND = [
    ("our own, stylegan3", CONFIG[:2], ["format", "pt"], "a __metadata__ that is no table"),
    ("our own, stylegan3", (*CONFIG, "output_scale"), None, "output_scale"),
    ("our own, stylegan2-ada", (*CONFIG, "mapping_lr_multiplier"), 1e300, r"multiplier 1e\+300"),
    ("our own, biggan-deep", (*CONFIG, "blocks", 0, 0), 7, r"blocks \(\(7, 16"),
    ("our own, edm, edm", (*CONFIG, "rho"), 0.1, "noise levels of EDM"),
    ("our own, edm, vp", (*CONFIG, "beta_d"), 1e30, "noise levels of EDM"),
    ("kit", ("card.json", "inverter", "optimizer"), 3, "inverter of kit 'net'"),
    ("kit", ("card.json", "inverter", "smoothing"), "t", "inverter of kit 'net'"),
    ("kit", ("card.json", "perturbations"), {"isotropic": {"x": [1.0]}}, "perturbations of kit"),
    ("classifier of an attribute", ("state_dict", "lod_in"), torch.zeros(2), "attribute class"),
    ("sd-turbo, 1 step", ("model_index.json", "tokenizer"), [None, None], "and its tokenizer"),
    ("sd-turbo, 1 step", ("scheduler/scheduler_config.json", "timestep_spacing"), 16, "scheduler"),
    ("sd-turbo, 1 step", ("text_encoder/config.json",), "a text", "text_encoder of generator net"),
    (
        "sd-turbo, 1 step",
        (*WORDS, "<|startoftext|>"),
        99,
        "takes what its tokenizer gives",
    ),
    ("consistency model, 2 steps", ("unet/config.json", "sample_size"), "8", "go together"),
    ("TAESD", ("config.json", "upsampling_scaling_factor"), 0, "an autoencoder of such images"),
]
"""Format, place and value of what ended in a traceback, or opened and then rendered nothing."""


@pytest.mark.parametrize(("name", "path", "value", "told"), FOUND)
def test_what_was_found_is_told(name, path, value, told, tmp_path):
    if name not in FORMATS:
        pytest.skip("needs diffusers")
    content = changed(content_of(name), path, lambda parts, key: parts.update({key: value}))
    place = FORMATS[name].write(content, tmp_path)
    with pytest.raises(ValueError, match=told) as error:
        FORMATS[name].open(place)
    assert place.stem in str(error.value)


# ---- Other bytes ---------------------------------------------------------------------------------


@st.composite
def other_bytes(draw, data: bytes):
    """Some bytes changed, left out, doubled or moved."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(found) - 1, 0)))
        kind = draw(st.sampled_from(("change", "cut", "double", "opcode", "end")))
        if kind == "change":
            found[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "cut":
            del found[place : place + draw(st.integers(1, 64))]
        elif kind == "double":
            found[place:place] = found[place : place + draw(st.integers(1, 64))]
        elif kind == "opcode":
            opcode = draw(st.sampled_from(pickletools.opcodes))
            found[place : place + 1] = opcode.code.encode("latin-1")
        else:
            del found[place:]
    return bytes(found)


# ---- The property --------------------------------------------------------------------------------


def check_ends_in_a_sentence(open_it, path: Path) -> None:
    """The file is read, or refused by `genviews.checks.fail`."""
    error, before = None, time.process_time()
    try:
        open_it(path)
    except Exception as raised:
        error = raised
    assert time.process_time() - before < SECONDS
    if error is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert (last.name, path.stem in str(error)) == ("fail", True), error
        assert isinstance(error, ValueError | OSError | TypeError | ImportError)


CODES = [one.code.encode("latin-1") for one in pickletools.opcodes]
STREAMS = st.lists(st.sampled_from(CODES) | st.binary(max_size=5), max_size=60).map(b"".join)


def written(draw, by: str, folder: Path):
    """A file that is none of the good ones, and what opens it; None for what no file can hold."""
    if by == "opcodes":
        path = folder / "net.pkl"
        path.write_bytes(draw(STREAMS.map(lambda body: b"\x80\x04" + body) | st.binary()))
        return path, load_generator
    group = GROUPS[draw(st.sampled_from([name for name in GROUPS if GROUPS[name]]))]
    name = draw(st.sampled_from(sorted(group)))
    if by == "content":
        content = draw(other_content(name))
        try:
            return group[name].write(content, folder), group[name].open
        except Exception:  # what the writers of pickles and archives refuse
            return None
    path = file = group[name].write(content_of(name), folder)
    if path.is_dir():
        file = draw(st.sampled_from(sorted(one for one in path.rglob("*") if one.is_file())))
    file.write_bytes(draw(other_bytes(file.read_bytes())))
    return path, group[name].open


MANY = {"content": 1000, "bytes": 1000, "opcodes": 500}  # four times: 10,000 in all
PARTS = [pytest.param(1, part, marks=pytest.mark.slow, id=f"many {part}") for part in range(4)]


@pytest.mark.parametrize("by", MANY)
@pytest.mark.parametrize(("share", "part"), [pytest.param(0.06, 9, id="some"), *PARTS])
def test_whatever_a_file_says(share, part, by, tmp_path):
    @seed(part)
    @given(data=st.data())
    @settings(
        max_examples=int(share * MANY[by]),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(data):
        folder = tmp_path / "files"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if (made := written(data.draw, by, folder)) is not None:
            path, open_it = made
            check_ends_in_a_sentence(open_it, path)

    check()
