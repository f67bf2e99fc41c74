from __future__ import annotations

import re

import pytest
import torch

from genviews.align.base import Box, UnalignableError
from genviews.align.table import read_geometry

BOX = "file,x0,y0,x1,y1\n"
MARKS = "file,lm0_x,lm0_y,lm1_x,lm1_y\n"


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "geometry.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


class TestBoxes:
    def test_boxes(self, table):
        read = read_geometry(table(BOX + "a.png,1,2,3.5,4\n./car/b.png, -1 ,0,9,8\n"))
        assert len(read) == 2
        assert read.columns == ("x0", "y0", "x1", "y1")
        assert read.of("a.png") == Box(1, 2, 3.5, 4)
        assert read.of("car/b.png") == Box(-1, 0, 9, 8)

    def test_columns_in_any_order_among_others(self, table):
        read = read_geometry(table("y1,x1,label,y0,x0,file\n4,3,cat,2,1,a.png\n", "utf-8-sig"))
        assert read.of("a.png") == Box(1, 2, 3, 4)

    def test_spaces_after_commas(self, table):
        read = read_geometry(table('file, x0, y0, x1, y1\n"a, b.png", 1, 2, 3, 4\n'))
        assert read.of("a, b.png") == Box(1, 2, 3, 4)


class TestLandmarks:
    def test_landmarks(self, table):
        read = read_geometry(table(MARKS + "a.png,1,2,3,4.25\n"))
        marks = read.of("a.png")
        assert marks.dtype == torch.float64
        assert marks.tolist() == [[1, 2], [3, 4.25]]

    def test_more_than_ten_keep_their_order(self, table):
        names = [f"lm{i}_{axis}" for i in range(12) for axis in "xy"]
        shuffled = sorted(names)  # lm10 before lm2
        cells = [str(names.index(name)) for name in shuffled]
        read = read_geometry(table(f"file,{','.join(shuffled)}\na.png,{','.join(cells)}\n"))
        assert read.of("a.png").flatten().tolist() == list(range(24))


class TestUnalignable:
    def test_no_line(self, table):
        read = read_geometry(table(BOX + "a.png,1,2,3,4\n"))
        with pytest.raises(UnalignableError, match=r"^has no line in .*geometry\.csv"):
            read.of("b.png")

    @pytest.mark.parametrize("line", ["a.png,,,,", "a.png, ,,,", "a.png"])
    def test_nothing_found(self, table, line):
        read = read_geometry(table(BOX + line + "\n"))
        with pytest.raises(UnalignableError, match=r"^has no position in its line of .*\.csv"):
            read.of("a.png")


class TestMistakes:
    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"geometry .*no\.csv: expected a CSV file"):
            read_geometry(tmp_path / "no.csv")

    @pytest.mark.parametrize(
        ("text", "got"),
        [
            ("", "got columns [] and 0 lines"),
            (BOX, "got columns ['file', 'x0', 'y0', 'x1', 'y1'] and 0 lines"),
            ("name,x0,y0,x1,y1\na,1,2,3,4\n", "got columns ['name', 'x0'"),
            ("file,x0,y0,x1\na,1,2,3\n", "got columns ['file', 'x0', 'y0', 'x1']"),
            ("file,label\na,b\n", "got columns ['file', 'label']"),
            ("file,lm0_x,lm0_y,lm2_x,lm2_y\na,1,2,3,4\n", "got columns ['file', 'lm0_x'"),
            ("file,lm0_x,lm0_y,lm1_x\na,1,2,3\n", "got columns ['file', 'lm0_x'"),
            ("file,lm1_x,lm1_y\na,1,2\n", "got columns ['file', 'lm1_x'"),
            ("file,x0,y0,x1,y1,lm0_x,lm0_y\na,1,2,3,4,5,6\n", "got boxes and landmarks"),
            ("file,x0,x0,y0,x1,y1\na,1,1,2,3,4\n", "got repeated names in ['file', 'x0', 'x0'"),
        ],
    )
    def test_columns(self, table, text, got):
        with pytest.raises(ValueError, match=re.escape(got)) as error:
            read_geometry(table(text))
        assert "geometry.csv: expected CSV text with the columns file,x0,y0,x1,y1 or" in str(
            error.value
        )

    def test_not_text(self, tmp_path):
        path = tmp_path / "geometry.csv"
        path.write_bytes(b"file,x0,y0,x1,y1\n\xff\xfe,1,2,3,4\n")
        with pytest.raises(
            ValueError, match=r"geometry .*csv: .* as UTF-8 text, got another encoding"
        ):
            read_geometry(path)

    @pytest.mark.parametrize(
        ("line", "got"),
        [
            ("b.png,1,2,x,4", "got x1 'x'"),
            ("b.png,1,,3,", "got y0 '', y1 ''"),
            ("b.png,1,2,nan,4", "got x1 'nan'"),
            ("b.png,1,2,3,inf", "got y1 'inf'"),
            ("b.png,1,5,2,5,3,5,4,5", "got more cells than columns"),
            ("a.png,5,6,7,8", "got another line for 'a.png'"),
            ("./a.png,5,6,7,8", "got another line for 'a.png'"),
            (" ,5,6,7,8", "got no file name"),
        ],
    )
    def test_line(self, table, line, got):
        with pytest.raises(ValueError, match=re.escape(got)) as error:
            read_geometry(table(f"{BOX}a.png,1,2,3,4\n{line}\n"))
        assert "geometry.csv, line 3: expected " in str(error.value)
