from __future__ import annotations

import base64
import io
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.report import render_report, write_report
from genviews.report.images import png_data_uri
from genviews.report.pictures import tile_size
from genviews.report.tables import cells, classifiers

VOID = {"meta", "link", "br", "img", "path", "use"}  # path and use are self-closing in the SVG


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> with nothing open"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or "svg" in self.open:
            return
        self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1][-1] += " " + data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


def page(result) -> Page:
    return Page(render_report(result))


def headings(text: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", text)


class TestPage:
    def test_is_self_contained(self, make_result):
        text = render_report(make_result())
        assert "http" not in text
        assert "<script" not in text
        assert "@import" not in text
        found = Page(text)
        for _, attrs in found.tags:
            for name in ("src", "href", "srcset", "action", "poster"):
                assert re.match(r"data:|#|$", attrs.get(name, "") or "")
        assert not re.search(r"url\((?!#)", text)

    def test_ids_are_unique_and_links_have_targets(self, make_result):
        found = page(make_result())
        ids = Counter(attrs["id"] for _, attrs in found.tags if "id" in attrs)
        assert [name for name, count in ids.items() if count > 1] == []
        targets = {
            attrs["href"] for _, attrs in found.tags if attrs.get("href", "").startswith("#")
        }
        assert len(targets) > 6
        assert {t[1:] for t in targets} <= set(ids)

    def test_sections_in_order(self, make_result):
        assert headings(render_report(make_result())) == [
            "What each kind of view gains",
            "How much weight the views get",
            "What the classifier saw",
            "How well the generator reproduces the images",
            "Files left out",
            "How it was made",
        ]

    def test_verdict_stands_first(self, make_result):
        result = make_result(verdict="Views help & hurt < 1.")
        words = page(result).text
        assert (
            0 < words.index("Views help & hurt < 1.") < words.index("What each kind of view gains")
        )

    def test_every_row_of_every_classifier(self, make_result):
        result = make_result()
        rows = [[" ".join(cell.split()) for cell in line] for line in page(result).cells]
        for row in result.rows:
            text = cells(row)
            shown = [text.num_views, f"{text.accuracy} {text.interval}"]
            shown.append(f"{text.gain} {text.gain_interval}" if text.gain else "\N{EN DASH}")
            assert any(
                line[0].removesuffix(" (best on calibration)") == row.name and line[1:4] == shown
                for line in rows
            )
        assert sum("(best on calibration)" in line[0] for line in rows) == 2

    def test_tables_and_images_are_accessible(self, make_result):
        found = page(make_result(kinds=("fixed", "typical", "typical")))
        assert found.all("html") == [{"lang": "en"}]
        assert all(attrs.get("scope") in ("row", "col") for attrs in found.all("th"))
        images = found.all("img")
        assert len(images) > 20
        assert all(re.search(r"^(image|reconstruction|view \d)", i["alt"]) for i in images)
        assert all("right" in i["alt"] or "wrong" in i["alt"] for i in images)
        assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in found.all("svg"))

    def test_adapts_to_dark_phone_and_print(self, make_result):
        text = render_report(make_result())
        for part in ("prefers-color-scheme: dark", "max-width: 40rem", "@media print", "pixelated"):
            assert part in text
        assert 'name="viewport"' in text

    def test_names_are_escaped(self, make_result):
        bad = "<b>&\"'</b><script>x</script>"
        result = make_result(
            title=bad,
            classes=(bad, "dog"),
            skipped=((bad, bad),),
            command=bad,
            versions={bad: bad},
            config={"key": bad},
        )
        rows = tuple(replace(row, name=bad, classifier=bad) for row in result.rows[:2])
        curves = tuple(replace(curve, row=bad, classifier=bad) for curve in result.curves[:1])
        text = render_report(replace(result, rows=rows, curves=curves))
        assert "<script" not in text
        assert "<b>&" not in text
        assert Page(text).text.count(bad) > 10

    def test_a_full_study(self, make_result):
        kinds = ("fixed", "broke", "best reconstruction", "worst reconstruction", "typical")
        result = make_result(full=True, classifiers=("images", "reconstructions", "views"))
        found = page(replace(result, gallery=make_result(kinds=kinds).gallery))
        assert len(found.all("svg")) == 3 + len(result.curves) == 3 + 21

    def test_same_result_gives_the_same_page(self, make_result):
        assert render_report(make_result()) == render_report(make_result())

    def test_config_command_and_times_are_shown(self, make_result):
        words = page(make_result(seconds={"invert test": 100.0, "views of test": 140.0})).text
        for part in (
            "genviews demo --out runs/demo --seed 0",
            '"num_views": 32',
            "views of test 140.0",
            "4 minutes in all",
            "torch 2.14.1",
            "cat/broken.png the file ends too early",
        ):
            assert part in words


class TestTone:
    def one(self, make_result, **changes):
        """A page whose row "crop" is best on calibration."""
        result = make_result(classifiers=("images",))
        rows = [replace(row, calibration_accuracy=0.5) for row in result.rows]
        rows[1] = replace(rows[1], calibration_accuracy=0.9, **changes)
        return render_report(replace(result, rows=tuple(rows)))

    def test_gain(self, make_result):
        text = self.one(make_result, gain=0.02, p_value=0.01, p_holm=0.2)
        assert '<section class="verdict better"' in text
        assert "Significant gain" in text

    def test_loss(self, make_result):
        text = self.one(make_result, gain=-0.02, p_value=0.01)
        assert '<section class="verdict worse"' in text
        assert "Significant loss" in text

    def test_nothing_significant(self, make_result):
        text = self.one(make_result, gain=0.02, p_value=0.06)
        assert '<section class="verdict same"' in text
        assert "No significant difference" in text
        assert "Significant gain" not in text

    def test_no_ensemble_is_better_on_calibration(self, make_result):
        result = make_result(classifiers=("images",))
        rows = [replace(row, calibration_accuracy=0.5) for row in result.rows]
        text = render_report(replace(result, rows=tuple(rows)))
        assert "No ensemble did better on calibration" in text

    def test_is_about_the_reference_classifier(self, make_result):
        result = make_result()
        rows = tuple(
            replace(row, calibration_accuracy=0.99, gain=0.02, p_value=0.01)
            if (row.classifier, row.name) == ("views", "crop")
            else replace(row, calibration_accuracy=0.5)
            for row in result.rows
        )
        config = {"reference": "views"}
        assert "Significant gain" in render_report(replace(result, rows=rows, config=config))
        assert "Significant gain" not in render_report(replace(result, rows=rows))

    def test_row_marks_follow_holm(self, make_result):
        result = make_result(classifiers=("images",))
        rows = tuple(
            replace(row, gain=0.01, p_value=0.01, p_holm=0.04 if row.name == "crop" else 0.06)
            for row in result.rows
        )
        text = render_report(replace(result, rows=rows))
        assert text.count('<b class="better">better</b>') == 1


class TestEmptyStates:
    def test_nothing_at_all(self, make_result):
        result = make_result(
            rows=(),
            curves=(),
            gallery=None,
            skipped=(),
            config={},
            versions={},
            command="",
            reconstruction={},
            seconds={},
            comparisons=(),
        )
        words = page(result).text
        for part in (
            "No row was computed",
            "No alpha was fitted",
            "No images were kept",
            "Reconstruction was not measured",
            "None: every file was used.",
        ):
            assert part in words

    def test_nothing_fixed_or_broken(self, make_result):
        words = page(make_result(kinds=("typical",))).text
        assert "The ensemble put no wrong prediction right." in words
        assert "The ensemble put no right prediction wrong." in words
        assert "Best reconstructions" not in words

    def test_without_labels_nothing_is_right_or_wrong(self, make_result):
        result = make_result(kinds=("typical", "typical"), labelled=False)
        found = page(result)
        assert "no prediction can be called right or wrong" in found.text
        assert not any("right" in i["alt"] or "wrong" in i["alt"] for i in found.all("img"))
        assert "Fixed by the ensemble" not in found.text

    def test_many_skipped_files_are_folded(self, make_result):
        skipped = tuple((f"{i}.png", "too small") for i in range(30))
        words = page(make_result(skipped=skipped)).text
        assert "30 files could not be used" in words
        assert "29.png too small" in words

    @pytest.mark.parametrize("count", [2, 100])
    def test_number_of_classes(self, make_result, count):
        names = tuple(f"class {i}" for i in range(count))
        assert "class 1" in page(make_result(classes=names, kinds=("fixed",) * 3)).text

    def test_unknown_kind_and_measure_are_shown(self, make_result):
        result = make_result(kinds=("surprising",), reconstruction={"lpips_alex": 0.25})
        words = page(result).text
        assert "Surprising" in words
        assert "Lpips alex 0.25" in words


class TestGallery:
    def tiles(self, result, wanted):
        return [i for i in page(result).all("img") if i["alt"].startswith(wanted)]

    def test_predictions_are_those_of_the_gallery(self, make_result):
        result = make_result(kinds=("fixed", "broke", "typical"))
        gallery = result.gallery
        shown = {i["alt"] for i in self.tiles(result, "image")}
        for place, name in enumerate(gallery.ids):
            probs = gallery.image_probs[place].numpy()
            guess, label = int(np.argmax(probs)), int(gallery.labels[place])
            verdict = "right" if guess == label else "wrong"
            percent = f"{100 * probs[guess]:.0f} %"
            alt = f"image of image {name}: {result.class_names[guess]}, {percent}, {verdict}"
            assert alt in shown

    def test_views_are_all_there_and_pixel_views_are_folded(self, make_result):
        text = render_report(make_result(kinds=("fixed",), views=5))
        assert len(self.tiles(make_result(kinds=("fixed",), views=5), "view")) == 6 * 5
        folded = text[text.index("<summary>Pixel views</summary>") :]
        assert "by crop of" in folded
        assert "by stylemix_fine_1.00 of" not in folded

    def test_right_and_wrong_differ_beyond_colour(self, make_result):
        text = render_report(make_result())
        assert re.search(r'tile right">.*?\N{CHECK MARK}', text)
        assert re.search(r'tile wrong">.*?\N{MULTIPLICATION X}', text)
        assert re.search(r"\.tile\.wrong img \{[^}]*dashed", text)

    def test_kinds_in_order_and_first_three_open(self, make_result):
        kinds = ("typical", "broke", "fixed", "fixed", "fixed", "fixed")
        text = render_report(make_result(kinds=kinds))
        places = [text.index(t) for t in ("Fixed by", "Broken by", "Typical images")]
        assert places == sorted(places)
        assert "<summary>1 more</summary>" in text

    def test_confidence_is_never_rounded_to_certainty(self, make_result):
        result = make_result(kinds=("fixed",))
        probs = torch.zeros(1, 10).index_fill(1, torch.tensor([0]), 0.9999)
        gallery = replace(result.gallery, image_probs=probs)
        assert ">99 %" in page(replace(result, gallery=gallery)).text


class TestImages:
    def decode(self, uri):
        kind, data = uri.split(",", 1)
        assert kind == "data:image/png;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_pixels_survive(self, channels):
        values = torch.randint(0, 256, (channels, 9, 7)).float()
        found = self.decode(png_data_uri(values / 127.5 - 1)).reshape(9, 7, channels)
        assert np.array_equal(found, values.permute(1, 2, 0).numpy())

    def test_out_of_range_and_not_a_number(self):
        image = torch.tensor([[[-3.0, 3.0, float("nan"), float("inf")]]])
        assert self.decode(png_data_uri(image)).tolist() == [[0, 255, 128, 255]]

    def test_large_images_are_reduced_in_proportion(self):
        found = self.decode(png_data_uri(torch.zeros(3, 512, 256), largest=128))
        assert found.shape == (128, 64, 3)

    @pytest.mark.parametrize(
        ("picture", "tile"),
        [
            ((32, 32), (96, 96)),
            ((32, 64), (32, 64)),
            ((20, 40), (40, 80)),
            ((96, 97), (96, 97)),
            ((256, 200), (256, 200)),
            ((512, 384), (256, 192)),
            ((2, 1024), (1, 256)),
        ],
    )
    def test_a_tile_is_a_whole_multiple_of_a_small_picture(self, picture, tile):
        assert tile_size(*picture) == tile

    def test_gradients_do_not_matter(self):
        image = torch.zeros(1, 4, 4, requires_grad=True)
        assert self.decode(png_data_uri(image)).shape == (4, 4)


class TestWrite:
    def test_writes_what_it_renders(self, make_result, tmp_path):
        result = make_result(kinds=("fixed",))
        path = write_report(result, tmp_path / "new" / "report.html")
        assert path.read_text(encoding="utf-8") == render_report(result)

    def test_failed_write_leaves_the_old_file_alone(self, make_result, tmp_path, monkeypatch):
        path = tmp_path / "report.html"
        path.write_text("old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="got a full disk; no part of it was left"):
            write_report(make_result(kinds=("fixed",)), path)
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]

    def test_nothing_is_written_when_the_result_cannot_be_drawn(self, make_result, tmp_path):
        broken = replace(make_result(kinds=("fixed",)), class_names=())
        with pytest.raises(IndexError):
            write_report(broken, tmp_path / "report.html")
        assert list(tmp_path.iterdir()) == []


def test_classifiers_keep_their_order(make_result):
    assert classifiers(make_result().rows) == ("images", "views")
