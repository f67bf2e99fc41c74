from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from genviews.report.pictures import contact_sheet, make_sheet, tile_size, to_picture
from genviews.studies.blocks import Grid, Images, Picture
from tests.studies.results import images


def decoded(sheet):
    kind, data = sheet.uri.split(",")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def noise(count, channels, size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [
        Picture(pixels=torch.rand(channels, size, size, generator=rng) * 2 - 1)
        for _ in range(count)
    ]


class TestSheet:
    def test_small_pictures_stay_exact_and_in_order(self):
        values = [-1.0, -0.5, 0.0, 0.5, 1.0]
        pictures = [Picture(pixels=torch.full((1, 8, 8), v)) for v in values]
        sheet = make_sheet(pictures)
        array = np.asarray(decoded(sheet))
        assert (sheet.columns, sheet.rows, sheet.cell) == (3, 2, (8, 8))
        found = [array[8 * (i // 3), 8 * (i % 3)] for i in range(5)]
        assert found == [int(np.rint((v + 1) * 127.5)) for v in values]
        assert sheet.sharp
        assert sheet.shown == (96, 96)

    def test_the_place_of_each_tile_in_css(self):
        sheet = make_sheet(noise(5, 1, 8))
        assert sheet.style(0) == "background-position:0.0000% 0.0000%"
        assert sheet.style(2) == "background-position:100.0000% 0.0000%"
        assert sheet.style(4) == "background-position:50.0000% 100.0000%"
        assert sheet.size == "300.0000% 200.0000%"

    def test_tiles_of_odd_sizes_do_not_bleed(self):
        pictures = [Picture(pixels=torch.full((3, 101, 83), v)) for v in (-1.0, 1.0) * 8]
        sheet = make_sheet(pictures)
        assert sheet.tile == (83, 101)
        assert sheet.cell == (88, 104)
        array = np.asarray(decoded(sheet).convert("L")).astype(int)
        assert array[:101, :83].max() < 12
        assert array[:101, 88:171].min() > 243

    def test_many_pictures_of_noise_stay_small(self):
        for count, channels, size in ((12, 3, 256), (160, 1, 32)):
            sheet = make_sheet(noise(4, channels, size) * (count // 4), budget=400_000)
            assert len(sheet.uri) < 700_000

    def test_fewer_pictures_may_be_larger(self):
        few, many = (make_sheet(noise(2, 3, 160) * n, budget=80_000) for n in (1, 20))
        assert few.tile[0] > many.tile[0]

    def test_lazy_pictures_and_none(self):
        sheet = make_sheet([Picture(pixels=lambda: torch.ones(1, 4, 4)), Picture()])
        array = np.asarray(decoded(sheet))
        assert (array[0, 0], array[0, 8]) == (255, 128)
        assert make_sheet([Picture()]) is None
        assert make_sheet([]) is None

    def test_one_picture(self):
        sheet = make_sheet(noise(1, 1, 8))
        assert sheet.style(0) == "background-position:0 0"


def test_contact_sheet_has_a_line_for_each_row():
    sheet = Image.open(io.BytesIO(contact_sheet(images(8))))
    assert sheet.size == (3 * 96 + 8, 2 * 96 + 4 + 18)
    assert contact_sheet(Images(title="t", grids=(Grid(pictures=((Picture(),),)),))) is None


def test_pictures_are_clamped_and_nan_is_grey():
    picture = to_picture(torch.tensor([[[-9.0, float("nan"), 9.0]]]))
    assert np.asarray(picture).tolist() == [[0, 128, 255]]
    assert to_picture(torch.zeros(3, 2, 2)).mode == "RGB"


def test_tiles_keep_their_shape():
    assert tile_size(64, 32) == (64, 32)
    assert tile_size(2000, 10) == (256, 1)
