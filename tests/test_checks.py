"""The message format of user errors, and the counts and fractions that are checked with it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from genviews.checks import (
    check_count,
    check_each,
    check_file,
    check_finite,
    check_fraction,
    check_number,
    expanded,
    fail,
    for_flag,
    lookup,
)
from genviews.ensemble.weigh import alpha_grid, grid_accuracies, log_loss
from genviews.evaluate.fidelity import moments
from genviews.evaluate.probe import mean_class_accuracy
from genviews.files import load_arrays, load_header, load_plain, load_tensors, read_json
from genviews.represent.monitor import alignment, rankme
from genviews.text import read_csv, read_lines


def test_message_says_what_expected_got_and_remedy() -> None:
    message = re.escape("size: expected a power of two, got 7; round it up.")
    with pytest.raises(ValueError, match=f"^{message}$"):
        fail("size", expected="a power of two", got=7, remedy="round it up")


def test_fail_raises_the_error_asked_for() -> None:
    with pytest.raises(TypeError, match="expected text"):
        fail("name", expected="text", got=3, remedy="quote it", error=TypeError)


def test_lookup_finds() -> None:
    assert lookup("fine", {"fine": 3, "coarse": 1}, "range") == 3


def test_lookup_lists_all_names_and_the_closest() -> None:
    table = {"stylemix": 1, "isotropic": 2, "pca": 3}
    expected = "one of isotropic, pca, stylemix, got 'stylmix'; did you mean 'stylemix'"
    with pytest.raises(ValueError, match=re.escape(expected)):
        lookup("stylmix", table, "kind")


@pytest.mark.parametrize("name", [None, 3, ["fine"], {"fine": 1}, ("fine", []), float("nan")])
def test_lookup_refuses_what_is_no_name(name) -> None:
    with pytest.raises(ValueError, match=r"range: expected one of coarse, fine, got .*close"):
        inspect.unwrap(lookup)(name, {"fine": 3, "coarse": 1}, "range")


def test_lookup_offers_two_close_names() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'crop\d' or 'crop\d'"):
        lookup("crop", {"crop1": 1, "crop2": 2, "flip": 3}, "transform")


def test_lookup_admits_that_none_is_close() -> None:
    with pytest.raises(ValueError, match="none is close"):
        lookup("zzz", {"crop": 1, "flip": 2}, "transform")


def test_the_only_name_is_offered_however_far_it_is() -> None:
    with pytest.raises(ValueError, match="got 'zzz'; write 'crop'"):
        lookup("zzz", {"crop": 1}, "transform")


def test_what_is_shown_of_a_long_name_is_its_ends() -> None:
    with pytest.raises(
        ValueError, match=r"^a{250} \.\.\. a{250}: expected b, got c{250} \.\.\. c{250};"
    ):
        fail("a" * 5000, expected="b", got="c" * 9000, remedy="shorten it")


@pytest.mark.parametrize("path", ["s3://bucket/a.pt", Path("gs://bucket/a.pt"), "https://a/b.pt"])
def test_a_url_is_no_file_of_this_machine(path: object) -> None:
    message = "--walks: expected a file of this machine, got '.*', a URL; copy it to this machine"
    with pytest.raises(FileNotFoundError, match=message):
        inspect.unwrap(check_file)(path, "--walks")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    names = ["pipe", "loop", "a\0b", "n" * 5000, "nothing", ".", "~nobody-at-all"]
    for name in names:
        with pytest.raises(FileNotFoundError, match="expected a file that exists, got no file"):
            check_file(tmp_path / name if name[0] != "~" else name, "file")
    check_file(tmp_path, "folder", folders=True)


STAND_INS = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "a web page": b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>404</html>",
}
READERS: dict[str, Callable[[Path], object]] = {
    "a.safetensors": load_tensors,
    "b.safetensors": lambda path: load_header(path, "walks"),
    "a.pt": lambda path: load_plain(path, path.name),
    "a.npz": lambda path: load_arrays(path, path.name),
    "a.json": read_json,
    "a.csv": lambda path: read_csv(path, "labels", "the columns file and label"),
    "a.txt": lambda path: read_lines(path, "class names"),
}


@pytest.mark.parametrize("told", STAND_INS)
@pytest.mark.parametrize("name", READERS)
def test_what_stands_for_a_file_is_named_by_every_reader(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / name).write_bytes(STAND_INS[told])
    with pytest.raises(ValueError, match=rf"{name}: expected the file itself, got {told}; fetch"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True])
def test_count_rejects(value: object) -> None:
    with pytest.raises(ValueError, match=r"num_views: expected an integer of at least 1, got"):
        inspect.unwrap(check_count)(value, "num_views")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 10**400, True, "1", 1j])
def test_number_rejects(value: object) -> None:
    with pytest.raises(ValueError, match="rate: expected a finite number, got"):
        inspect.unwrap(check_number)(value, "rate")


@pytest.mark.parametrize("cause", [ValueError, FileNotFoundError])
def test_a_flag_stands_before_an_error_of_its_kind(cause: type[Exception]) -> None:
    with pytest.raises(cause, match=r"^--data: no$"), for_flag("--data"):
        raise cause("no")


def test_a_flag_stands_before_an_error_that_is_made_of_more_than_text() -> None:
    with pytest.raises(ValueError, match=r"^--data: 'utf-8' codec"), for_flag("--data"):
        b"\xff".decode()


def test_count_returns_the_value_from_the_least_on() -> None:
    assert check_count(1, "n") == 1
    assert check_count(0, "n", least=0) == 0
    with pytest.raises(ValueError, match="at least 2"):
        check_count(1, "n", least=2)


@pytest.mark.parametrize(
    "value",
    [
        -0.1,
        1.0001,
        float("nan"),
        float("inf"),
        10**400,
        True,
        "0.5",
        None,
        1j,
        torch.zeros(2),
        np.ones(3),
    ],
)
def test_fraction_rejects(value: object) -> None:
    with pytest.raises(ValueError, match=r"alpha: expected a number in \[0, 1\], got"):
        inspect.unwrap(check_fraction)(value, "alpha")


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, torch.tensor(0.25), np.float32(0.5)])
def test_fraction_returns_the_value(value: float) -> None:
    assert inspect.unwrap(check_fraction)(value, "alpha") == float(value)


def test_what_goes_with_each_image_is_counted() -> None:
    check_each("ab", 2, "labels")
    with pytest.raises(ValueError, match="labels: expected 3, one for each image, got 2"):
        check_each("ab", 3, "labels")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_rows_that_are_not_finite_are_named(bad: float) -> None:
    rows = torch.zeros(3, 2)
    check_finite(rows, "images", "abc", "leave them out")
    rows[1, 1] = bad
    with pytest.raises(ValueError, match="images: expected finite numbers, got others in b; leave"):
        check_finite(rows, "images", "abc", "leave them out")


def test_the_home_of_nobody_is_a_path_like_any_other() -> None:
    assert expanded("~nobody-at-all/a") == Path("~nobody-at-all/a")
    assert expanded("~/a") == Path.home() / "a"


@pytest.mark.parametrize(
    "number",
    [
        lambda none: mean_class_accuracy(none[:, 0].long(), none[:, 0].long()),
        moments,
        rankme,
        lambda none: alignment(none[:, None].expand(-1, 2, -1)),
        lambda none: grid_accuracies(none, none, none[:, 0].long(), alpha_grid()),
        lambda none: log_loss(none, none[:, 0].long()),
    ],
)
def test_a_number_of_nothing_is_refused(number):
    """A mean of no row would be NaN, and a rank of none 1."""
    with pytest.raises(ValueError, match=r"expected an integer of at least [12], got 0"):
        number(torch.zeros(0, 3))
