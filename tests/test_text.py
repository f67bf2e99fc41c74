"""Tables and lists as spreadsheets and people write them."""

from __future__ import annotations

import pytest

from genviews.text import read_csv, read_lines


def test_lines_by_column_with_their_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes('\ufefffile, label\na.png, "x, y"\n\nb.png\nc.png,1,2,3\n'.encode())
    columns, lines = read_csv(path, "labels", "two columns")
    assert columns == ["file", "label"]
    assert lines == [
        (2, {"file": "a.png", "label": "x, y"}),
        (4, {"file": "b.png", "label": None}),
        (5, {"file": "c.png", "label": "1", None: ["2", "3"]}),
    ]


@pytest.mark.parametrize(
    ("data", "columns", "lines"),
    [(b"", [], []), (b"a,b\n", ["a", "b"], []), (b"\nx\n", [], [(2, {None: ["x"]})])],
)
def test_what_is_missing_is_left_to_the_caller(tmp_path, data, columns, lines):
    (tmp_path / "x.csv").write_bytes(data)
    assert read_csv(tmp_path / "x.csv", "labels", "a column") == (columns, lines)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\n\xff\n", r"x\.csv: .*as UTF-8 text, got another encoding, .* \(byte 3\)"),
        ("a\nb\n".encode("utf-16"), r"x\.csv: .* got UTF-16"),
        (b'a\n"b', r"x\.csv: .* got text that is no table"),
    ],
)
def test_no_text(tmp_path, data, message):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path / "x.csv", "labels", "a column")


def test_no_file(tmp_path):
    wanted = r"labels .*y\.csv: expected a CSV file with a column, got no file '.*y\.csv'; check"
    with pytest.raises(FileNotFoundError, match=wanted):
        read_csv(tmp_path / "y.csv", "labels", "a column")
    with pytest.raises(FileNotFoundError, match=r"got no file .*, but a folder"):
        read_lines(tmp_path, "names")
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(ValueError, match="got an empty file"):
        read_lines(tmp_path / "empty", "names")
