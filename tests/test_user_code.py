"""An exception of the user's code names the user's file and line, and what was called with what."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest
import torch
from torch import nn

from genviews.checks import fail
from genviews.user_code import user_code

X = torch.zeros(2, 3)


@pytest.fixture
def users(tmp_path):
    """A module in a file of the user's."""
    path = tmp_path / "my_nets.py"
    source = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 2)

        def forward(self, x):
            return self.fc(x)  # the user's own line

    def divide():
        return sorted([1, 2], key=lambda x: 1 / 0)

    def long_winded():
        raise KeyError("word " * 1000)

    def silent():
        raise RuntimeError

    def exhausted():
        raise MemoryError("not enough")
    """
    path.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location("my_nets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_users_line_and_the_shapes_are_told(users) -> None:
    with pytest.raises(ValueError, match="mat1 and mat2") as caught, user_code("classifier", X, 7):
        users.Net()(X)
    text = str(caught.value)
    assert text.startswith("classifier: expected an answer to (2, 3) of float32, 7, got RuntimeErr")
    assert f"in {users.__file__}, line 11: return self.fc(x)  # the user's own line;" in text
    assert "docs/bring_your_own.md" in text
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("divide", r"got ZeroDivisionError: division by zero, in .*my_nets.py, line 14: return so"),
        ("long_winded", r"KeyError: 'word word .* \.\.\., in .*line 17"),
        ("silent", r"got RuntimeError, in .*line 20: raise RuntimeError;"),
    ],
)
def test_any_exception_is_one_sentence(users, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught, user_code("a function"):
        getattr(users, name)()
    text = str(caught.value)
    assert text.startswith("a function: expected an answer, got ")
    assert len(text) < 700
    assert "\n" not in text


def test_where_all_code_is_torchs_the_layer_is_told() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(5, 2))
    with pytest.raises(ValueError, match=r"in Linear\(in_features=5, out_features=2, bias=True\);"):
        call(network)


def call(network: nn.Module) -> None:
    # Compiled as Python's own code, so that no line of this file stands between.
    code = compile("with user_code('net', X): network(X)", "<frozen test>", "exec")
    exec(code, {"user_code": user_code, "X": X, "network": network})


def test_our_own_messages_and_lack_of_memory_pass(users) -> None:
    ours = r"^mean: expected 1, got 2; change it\.$"
    with pytest.raises(TypeError, match=ours), user_code("classifier"):
        fail("mean", expected=1, got=2, remedy="change it", error=TypeError)
    with pytest.raises(MemoryError, match="not enough"), user_code("classifier"):
        users.exhausted()
    with pytest.raises(KeyboardInterrupt), user_code("classifier"):
        raise KeyboardInterrupt
