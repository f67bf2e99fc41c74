"""The reader of pickles: what Python's own reads, and nothing run, whatever the bytes are."""

from __future__ import annotations

import ast
import collections
import contextlib
import copyreg
import inspect
import pickle
import pickletools
import sys
from argparse import Namespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.hostile_checkpoints import Bomb, executed, pickles_that_call
from genviews.generators.checkpoints import machine, pickles, records
from genviews.generators.checkpoints.contents import open_contents
from genviews.generators.checkpoints.pickles import decode
from genviews.generators.checkpoints.records import Call, Name, Persistent
from genviews.generators.checkpoints.tensors import as_bytes, as_dict, plain

PACKAGE = "genviews.generators.checkpoints"


def value_of(data: bytes) -> object:
    return decode(memoryview(data), "file").root


def as_python(value: object) -> object:
    """A decoded value as Python's reader would give it, for values without objects."""
    if isinstance(value, Call) and value.of.name in ("set", "frozenset"):
        return frozenset(map(as_python, [*value.args[0], *(value.items or ())]))
    if isinstance(value, Call | memoryview):
        return bytes(as_bytes(value))
    if isinstance(value, list | tuple):
        return type(value)(map(as_python, value))
    if isinstance(value, dict):
        return {key: as_python(one) for key, one in value.items()}
    return value


keys = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
simple = keys | st.floats(allow_nan=False) | st.binary(max_size=2000)
values = st.recursive(
    simple | st.frozensets(keys),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=12,
)


@given(value=values, protocol=st.integers(0, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_plain_values_are_as_python_reads_them(value, protocol):
    if protocol < 3 and b"bytes" in pickle.dumps(value, protocol):
        return  # empty bytes are a call there
    assert as_python(value_of(pickle.dumps(value, protocol))) == value


def test_every_opcode_of_python_is_known():
    for opcode in pickletools.opcodes:
        with pytest.raises(ValueError, match="expected a whole pickle") as error:
            value_of(opcode.code.encode("latin-1"))
        assert "where an opcode should be" not in str(error.value)


@pytest.mark.parametrize("name", pickles_that_call())
def test_nothing_is_called(name):
    """Python's own reader would run `executed`, which raises what nothing here swallows."""
    with contextlib.suppress(ValueError):
        root = value_of(b"\x80\x04" + pickles_that_call()[name] + b".")
        assert isinstance(root, Call | Persistent | dict | list)


def test_an_extension_is_not_looked_up():
    copyreg.add_extension("benchmarks.hostile_checkpoints", "executed", 200)
    try:
        assert value_of(b"\x82\xc8)R.").of == Name("copyreg", "extension 200")
    finally:
        copyreg.remove_extension("benchmarks.hostile_checkpoints", "executed", 200)


def test_no_module_is_imported():
    assert "antigravity" not in sys.modules
    value_of(b"cantigravity\nfly\n)R.")
    value_of(b"\x8c\x0bantigravity\x8c\x03fly\x93)\x81.")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("module", [machine, pickles, records], ids=lambda one: one.__name__)
def test_nothing_is_there_that_could_call_by_name(module):
    """The text of the reader: what it imports, and no function that finds another by its name."""
    tree = ast.parse(inspect.getsource(module))
    imported = {one.module for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
    imported |= {a.name for one in ast.walk(tree) if isinstance(one, ast.Import) for a in one.names}
    own = {name for name in imported if name.startswith("genviews.")}
    assert own <= {"genviews.checks", *(f"{PACKAGE}.{name}" for name in ("machine", "records"))}
    harmless = {"__future__", "codecs", "collections.abc", "dataclasses", "struct", "typing"}
    assert imported - own <= harmless
    names = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    assert not names & {
        "eval",
        "exec",
        "compile",
        "getattr",
        "__import__",
        "globals",
        "vars",
        "open",
    }


def test_what_would_be_called_is_told():
    found = decode(memoryview(pickle.dumps([Bomb(), collections.OrderedDict()])), "file")
    assert set(map(str, found.calls)) == {
        f"{executed.__module__}.executed",
        "collections.OrderedDict",
    }


class TestNumbers:
    @pytest.fixture(params=["zip", "before 1.6", "pickle"])
    def read(self, request, tmp_path):
        """Write a value and return what is in the file."""

        def write(value):
            path = tmp_path / "file.bin"
            if request.param == "pickle":
                path.write_bytes(pickle.dumps(value))
            else:
                torch.save(value, path, _use_new_zipfile_serialization=request.param == "zip")
            return open_contents(path)

        return write

    def test_tensors_of_every_type(self, read):
        kinds = ["float32", "float64", "float16", "bfloat16", "bool"]
        kinds += ["int64", "int32", "int16", "int8", "uint8"]
        made = {kind: torch.arange(6).reshape(2, 3).to(getattr(torch, kind)) for kind in kinds}
        contents = read(made)
        for kind, tensor in made.items():
            found = contents.tensor(contents.keys()[kind])
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor)

    def test_views_of_one_storage(self, read):
        whole = torch.randn(4, 6)
        made = {"part": whole[1:3, ::2], "turned": whole.t(), "none": whole[:0], "one": whole[3, 5]}
        contents = read(made | {"parameter": torch.nn.Parameter(whole)})
        for name, tensor in made.items():
            assert torch.equal(contents.tensor(contents.keys()[name]), tensor)
        assert torch.equal(contents.tensor(contents.keys()["parameter"]), whole)

    def test_arrays(self, read):
        grid = np.arange(6, dtype=np.float32).reshape(2, 3)
        made = {"rows": grid, "columns": np.asfortranarray(grid), "swapped": grid.astype(">f4")}
        contents = read(made | {"number": np.float64(0.5)})
        for array in map(contents.keys().get, made):
            assert torch.equal(contents.tensor(array), torch.from_numpy(grid))
        assert plain(contents.keys()["number"]) == 0.5

    def test_dicts_of_every_class(self, read):
        made = [collections.OrderedDict(a=1), collections.defaultdict(int, a=1), Namespace(a=1)]
        assert [as_dict(one) for one in read(made).root] == [{"a": 1}] * 3

    def test_a_small_file_cannot_ask_for_much_memory(self, read):
        wide = torch.zeros(1).expand(2**30)
        contents = read({"wide": wide})
        with pytest.raises(ValueError, match="1,073,741,824 numbers in a storage of 1"):
            contents.tensor(contents.keys()["wide"])
