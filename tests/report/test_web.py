from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import torch

from genviews.report.web import render_page
from genviews.studies.blocks import Column, Grid, Images, Note, Picture, Table
from genviews.studies.result import Record, Result
from tests.studies.results import TABLE, result

VOID = {"meta", "link", "br", "img", "path", "use", "rect", "line", "circle"}


class Checker(HTMLParser):
    """Collects ids, links and text, and checks that elements are nested."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.ids += [known["id"]] if "id" in known else []
        self.links += [known["href"]] if tag == "a" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def checked(page):
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert len(checker.ids) == len(set(checker.ids))
    return checker, " ".join(" ".join(checker.text).split())


class TestPage:
    def test_is_whole_and_needs_nothing_else(self):
        page = render_page(result())
        checker, _ = checked(page)
        assert all(link.removeprefix("#") in checker.ids for link in checker.links)
        assert "<script" not in page
        assert not re.search(r"""(src|href)=["']?(https?:|//|file:)""", page)

    def test_answers_first(self):
        _, text = checked(render_page(result()))
        order = [
            "Do views help?",
            "Beware: 1 of 2 checks failed",
            "Most reconstructions are one picture.",
            "Start elsewhere.",
            "Significantly better",
            "What each kind of view gains",
            "Claims",
            "Gains",
            "Weight of the views",
            "How it was made",
        ]
        places = [text.index(words) for words in order]
        assert places == sorted(places)
        assert text.index("What was checked: 2 things, 1 of them failed") > places[-1]
        assert "87 % are right." in text

    def test_a_withheld_verdict_has_no_badge_and_no_large_numbers(self):
        shut = replace(result().gates[1], decides=True)
        page = render_page(result(gates=()).behind([shut]))
        assert 'class="verdict worse"' in page
        assert "Not to be trusted: 1 of 1 checks failed" in page
        assert "Significantly better" not in page
        assert 'class="facts"' not in page

    def test_table_has_every_number_with_unit_and_interval(self):
        page = render_page(result())
        _, text = checked(page)
        for words in ("accuracy, %", "89.10", "88.00 to 90.12", "+1.9 *", "<0.001", "1,234"):
            assert words.replace(" *", "\N{NO-BREAK SPACE}*") in text or words in text
        assert '<tr class="better chosen group">' in page
        assert text.count("right answers on test") == 1  # in words, not only on hover

    def test_the_highlighted_row_is_in_large_type(self):
        page = render_page(result())
        facts = page[page.index('<dl class="facts">') : page.index("<nav")]
        assert "generated and pixel views, combined" in facts
        assert "+0.9 to +2.9" in facts

    def test_nothing_is_claimed_without_a_compared_row(self):
        plain = Table(title="t", columns=(Column(name="a"),), rows=(("x",),))
        page = render_page(result(blocks=(plain,), claims=(), gates=()))
        checked(page)
        assert 'class="badge"' not in page
        assert 'class="facts"' not in page

    def test_bars_have_a_figure_for_each_measure(self):
        page = render_page(result())
        assert page.count('<div class="chart"><svg role="img" aria-label="Gains: ') == 2

    def test_pictures_have_words(self):
        page = render_page(result())
        assert 'aria-label="image 7, stylemix fine, view, coat 0.55"' in page
        assert page.count("data:image/png;base64,") == 1
        assert "Views keep the class." in page

    def test_a_loaded_result_has_a_page_without_pictures(self):
        page = render_page(Result.from_json(result().to_json()))
        checked(page)
        assert "data:image" not in page
        assert "coat 0.55" in page

    def test_many_grids_are_shown_on_demand(self):
        grids = tuple(
            Grid(title=f"image {i}", pictures=((Picture(pixels=torch.zeros(1, 4, 4)),),))
            for i in range(9)
        )
        _, text = checked(render_page(result(blocks=(Images(title="Pictures", grids=grids),))))
        assert "3 more" in text

    def test_is_small_with_many_pictures(self):
        rng = torch.Generator().manual_seed(0)
        smooth = torch.nn.functional.interpolate(
            torch.rand(160, 3, 8, 8, generator=rng) * 2 - 1, size=64, mode="bicubic"
        )
        grids = tuple(
            Grid(pictures=(tuple(Picture(pixels=p) for p in smooth[i : i + 8]),))
            for i in range(0, 160, 8)
        )
        assert len(render_page(result(blocks=(TABLE, Images(title="x", grids=grids))))) < 1_500_000


class TestStrangers:
    def test_text_of_files_is_only_text(self):
        evil = "<script>alert(1)</script>\x1b[2J\u202e'\"&.png"
        table = Table(
            title=evil, columns=(Column(name=evil, help=evil),), rows=((evil,),), caption=evil
        )
        picture = Picture(pixels=torch.zeros(1, 4, 4), caption=evil)
        found = result(
            title=evil,
            verdict=evil,
            blocks=(
                table,
                Images(title=evil, grids=(Grid(title=evil, text=evil, pictures=((picture,),)),)),
                Note(title=evil, text=evil),
            ),
            record=Record(
                command=evil, config={evil: evil}, skipped=((evil, evil),), images={evil: evil}
            ),
        )
        page = render_page(found)
        checked(page)
        assert "<script" not in page
        assert not {"\x1b", "\u202e"} & set(page)
        page.encode()

    def test_a_command_and_a_configuration_are_copied_as_they_are(self):
        """Units are held in sentences alone; flags are, everywhere."""
        command = "genviews learn --name 'of 5 % & more' --two-words"
        page = render_page(
            result(verdict="5 % of it.", record=Record(command=command, config={"a": "5 % <"}))
        )
        told = page[page.index('<pre class="command">') : page.index('<div class="columns">')]
        assert unescape(re.sub(r"<[^>]*>", "", told)).strip() == command
        assert '<span class="flag">--two-words</span>' in told
        assert "5 % &lt;" in page
        assert "5\N{NO-BREAK SPACE}% of it." in page

    def test_many_files_left_out_are_folded(self):
        skipped = tuple((f"{i}.png", "truncated") for i in range(30))
        page = render_page(result(record=Record(skipped=skipped)))
        _, text = checked(page)
        assert "30 files could not be used" in text
        assert '<details class="printed"><summary>Names and reasons' in page
