"""Loading a named classifier: what is read, and what is refused before it can run."""

from __future__ import annotations

import errno
import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genviews import load_classifier, load_encoder
from genviews.classify.model import Classifier
from genviews.classify.network import SmallResNet
from genviews.classify.settings import ClassifierSettings
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=8, width=8)
RGB = ImageSpec(channels=3, height=16, width=16)
NAMES = ("a", "b", "c")


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def wide() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 4))


def give_up() -> nn.Module:
    sys.exit("usage: users_nets FILE")


class Net(nn.Module):
    """A class of a network that is called without arguments."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(64, width)

    def forward(self, images):
        return self.fc(images.flatten(1))


class Exported(Net):
    """One without modes, as of `torch.export`."""

    def train(self, mode=True):
        raise NotImplementedError("Calling train() is not supported yet.")


class Sized(Net):
    """One that is not."""

    def __init__(self, width: int) -> None:
        super().__init__(width)


@pytest.fixture(autouse=True)
def user_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("users_nets")
    module.build = build
    module.number = 3
    module.give_text = lambda: "no module"
    module.zoo = types.SimpleNamespace(build=build)
    module.network, module.Net, module.Sized = build(), Net, Sized
    module.answer = lambda images: images.flatten(1)[:, :3]
    module.two_numbers = lambda images, scale: images * scale
    module.give_function = lambda: module.answer
    module.give_class = lambda: Net
    module.give_pair = lambda: (build(), "transform")
    module.give_classifier = lambda: Classifier(build(), SPEC, NAMES)
    module.give_other_order = lambda: Classifier(build(), SPEC, ("c", "a", "b"))
    module.give_larger = lambda: Classifier(wide(), RGB, ("b", "d", "a", "c"))
    module.give_sized = lambda classes: Sized(3)
    module.give_empty = lambda: nn.Linear(64, 2, device="meta")
    module.give_lazy = lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    module.give_exported = Exported
    module.give_nothing = lambda: None
    module.give_up = give_up
    monkeypatch.setitem(sys.modules, "users_nets", module)


class Trap:
    """An object whose unpickling leaves a mark."""

    ran = False

    def __reduce__(self):
        return (setattr, (Trap, "ran", True))


@pytest.mark.parametrize(
    "name",
    ["build", "zoo.build", "network", "Net", "answer", "give_function", "give_exported"],
)
def test_a_function_gives_the_module(name: str) -> None:
    settings = ClassifierSettings(mean=(0.5,), std=(2.0,))
    classifier = load_classifier(f"users_nets:{name}", SPEC, NAMES, settings=settings)
    assert not classifier.training
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(classifier(x), classifier.module((x - 0.5) / 2))


@pytest.mark.parametrize("name", ["build", "give_lazy"])
@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth"])
def test_weights_are_put_into_the_functions_module(tmp_path, suffix: str, name: str) -> None:
    weights = {k: torch.full_like(v, 0.25) for k, v in build().state_dict().items()}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    classifier = load_classifier(f"users_nets:{name}", SPEC, NAMES, weights=path)
    for key, value in classifier.module.state_dict().items():
        assert torch.equal(value, weights[key])


def test_weights_are_put_into_a_classifier_that_the_function_makes(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    weights = {k: torch.randn_like(v) for k, v in build().state_dict().items()}
    save_file(weights, path)
    x = torch.rand(2, 1, 8, 8)
    found = load_classifier("users_nets:give_classifier", SPEC, NAMES, weights=path)(x)
    torch.testing.assert_close(found, x.flatten(1) @ weights["1.weight"].T + weights["1.bias"])
    save_file({k: v * 0 for k, v in weights.items()}, path)
    with pytest.raises(ValueError, match="the same answer for 6 different images"):
        load_classifier("users_nets:give_classifier", SPEC, NAMES, weights=path)


def test_a_small_resnet_file_needs_no_function(tmp_path) -> None:
    network = SmallResNet(num_classes=3, width=4).eval()
    network.save(tmp_path / "net.safetensors")
    classifier = load_classifier(tmp_path / "net.safetensors", SPEC, NAMES)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(classifier(x), network(x))


def test_weights_alone_are_no_classifier(tmp_path) -> None:
    save_file(build().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"weights that name no network; name the func.*--weights"):
        load_classifier(tmp_path / "w.safetensors", SPEC, NAMES)


def test_a_pickle_is_never_run(tmp_path) -> None:
    for name, dump in (
        ("a.pth", lambda f: torch.save({"0.weight": Trap()}, f)),
        ("b.pt", lambda f: pickle.dump(Trap(), f, protocol=2)),
    ):
        with open(tmp_path / name, "wb") as file:
            dump(file)
        with pytest.raises(ValueError, match=rf"{name}: expected a file of tensors alone"):
            load_classifier("users_nets:build", SPEC, NAMES, weights=tmp_path / name)
    assert not Trap.ran


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("net.pt2", ValueError, "an exported program; it may run code when it is read"),
        ("net.pt", ValueError, "a TorchScript or pickle file; it may run code"),
        ("net.pth", ValueError, "a pickle file; it may run code"),
        ("net.pt", ValueError, "a published attribute classifier"),
        ("net.onnx", ValueError, "an ONNX program"),
        ("users_nets", ValueError, "a SmallResNet or an AttributeNetwork.*with a colon between"),
        ("fashoin32", ValueError, "did you mean 'fashion32'"),
        ("users_nets.py:build", ValueError, "name it as a module, users_nets:build, from its f"),
        ("./users_nets.py", ValueError, "name it as a module, users_nets:function"),
        ("users_nets:give_empty", ValueError, r"got empty ones \(meta\); load its weights"),
        (":build", ValueError, "with a colon between"),
        ("users_nets:", ValueError, "with a colon between"),
        ("nowhere_at_all:build", ValueError, "no module named 'nowhere_at_all'; install"),
        ("users_nets:missing", ValueError, "an attribute 'missing' of users_nets, got none"),
        (
            "users_nets:number",
            ValueError,
            "a function that builds a network, or a network, got int",
        ),
        ("users_nets:give_text", TypeError, "expected a torch.nn.Module, got str; return"),
        ("users_nets:give_class", TypeError, "got type Net; call it first"),
        ("users_nets:give_pair", TypeError, "got tuple; return, or give, the network itself"),
        ("users_nets:give_sized", TypeError, "got the network Sized; it makes networks: call it"),
        ("users_nets:give_nothing", TypeError, "got NoneType; return"),
        ("users_nets:Sized", ValueError, "missing 1 required positional argument: 'width'"),
        ("users_nets:two_numbers", ValueError, "missing 2 required positional arguments"),
        ("users_nets:give_up", ValueError, r"SystemExit: usage: .*, line \d+: sys.exit"),
        ("users_nets:build", ValueError, "classifier returns 3 logits, labels have 2 classes"),
    ],
)
def test_a_wrong_name_is_explained(source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_classifier(source, SPEC, ("a", "b"))


def test_files_that_are_not_there_are_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"net\.safetensors"):
        load_classifier(tmp_path / "net.safetensors", SPEC, NAMES)
    for name in ("w.safetensors", "w.pt"):
        with pytest.raises(FileNotFoundError, match=name):
            load_classifier("users_nets:build", SPEC, NAMES, weights=tmp_path / name)


@pytest.mark.parametrize("load", [load_classifier, load_encoder])
def test_a_file_that_may_not_be_read_is_no_fault_of_the_users_code(load, tmp_path, monkeypatch):
    """Nobody's code is in such a file, so the file system's own words are shown."""
    path = tmp_path / "net.safetensors"
    SmallResNet(num_classes=3, width=4).save(path)

    def refuse(name, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(name))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError) as error:
        load(path)
    assert error.value.filename == str(path)


def test_weights_that_do_not_fit_name_their_keys(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    weights = build().state_dict()
    save_file({"1.weight": weights["1.weight"], "2.bias": weights["1.bias"]}, path)
    with pytest.raises(ValueError, match=r"(?s)1\.bias.*2\.bias"):
        load_classifier("users_nets:build", SPEC, NAMES, weights=path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"weights w\.safetensors: expected a safetensors file"):
        load_classifier("users_nets:build", SPEC, NAMES, weights=path)
    torch.save({"epoch": 3, "model": weights}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"without the rest of a checkpoint"):
        load_classifier("users_nets:build", SPEC, NAMES, weights=tmp_path / "c.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_weights_of_a_network_that_was_wrapped_are_its_own(prefix, tmp_path) -> None:
    weights, x = build().state_dict(), torch.rand(2, 1, 8, 8)
    want = x.flatten(1) @ weights["1.weight"].T + weights["1.bias"]
    wrapped = {prefix + name: value for name, value in weights.items()}
    torch.save(wrapped, tmp_path / "w.pt")
    made = load_classifier("users_nets:build", SPEC, NAMES, weights=tmp_path / "w.pt")
    torch.testing.assert_close(made(x), want)
    wrapped.pop(f"{prefix}1.bias")
    torch.save(wrapped, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"got missing 1.weight; missing 1.bias; unused"):
        load_classifier("users_nets:build", SPEC, NAMES, weights=tmp_path / "w.pt")


def test_a_network_file_takes_no_further_weights(tmp_path) -> None:
    with pytest.raises(ValueError, match="expected none beside a classifier that has its own"):
        load_classifier("fashion32/views", weights=tmp_path / "w.pt")
    with pytest.raises(ValueError, match="expected none beside a classifier that has its own"):
        load_classifier(tmp_path / "net.safetensors", SPEC, NAMES, weights=tmp_path / "w.pt")


def test_a_classifier_of_the_users_keeps_its_settings_and_is_matched_by_name() -> None:
    x = torch.rand(2, 1, 8, 8)
    same = load_classifier("users_nets:give_classifier", SPEC, NAMES)
    assert not isinstance(same.module, Classifier)
    assert load_classifier("users_nets:give_classifier").class_names == NAMES
    turned = load_classifier("users_nets:give_other_order", SPEC, NAMES)
    torch.testing.assert_close(turned(x), turned.module(x)[:, [1, 2, 0]])
    part = load_classifier("users_nets:give_larger", SPEC, NAMES)
    assert part.class_names == NAMES
    big = torch.nn.functional.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    want = part.module(big.expand(-1, 3, -1, -1))[:, [2, 0, 3]]
    torch.testing.assert_close(part(x), want)
    with pytest.raises(ValueError, match="one of a, b, c, got 'cat'"):
        load_classifier("users_nets:give_classifier", SPEC, ("a", "cat"))
    settings = ClassifierSettings(mean=(0.5,))
    with pytest.raises(ValueError, match="no settings: it has its own, got mean; leave them out"):
        load_classifier("users_nets:give_classifier", SPEC, NAMES, settings=settings)
    with pytest.raises(ValueError, match="no settings: it has its own, got input_channels"):
        load_classifier("fashion32", settings=ClassifierSettings(input_channels=3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(:\n", "SyntaxError"),
        ("import nowhere_at_all", "no module named 'nowhere_at_all'; install"),
        ("import sys; sys.exit(3)", "got SystemExit: 3, in .*broken_nets.py, line 1"),
        (
            "x = 1 / 0",
            "ZeroDivisionError: .*, in .*broken_nets.py, line 1: x = 1 / 0",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_told(text, message, tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_nets.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_classifier("broken_nets:build", SPEC, NAMES)
    sys.modules.pop("broken_nets", None)
