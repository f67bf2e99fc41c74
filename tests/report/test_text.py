from __future__ import annotations

import csv
import io

from genviews.report.text import claims_table, csv_text, markdown, markdown_table, table_csv
from genviews.studies.blocks import Column, Estimate, Note, Table
from genviews.studies.result import Claim
from tests.studies.results import TABLE, result


class TestCSV:
    def test_numbers_stay_as_they_are_and_intervals_have_columns(self):
        rows = list(csv.DictReader(io.StringIO(table_csv(TABLE))))
        assert float(rows[1]["gain"]) == 0.019
        assert (rows[1]["gain_low"], rows[1]["gain_high"]) == ("0.0089", "0.0291")
        assert rows[0]["gain"] == rows[0]["gain_low"] == ""
        assert rows[2]["accuracy_low"] == ""
        assert rows[2]["Holm_p"] == "0.62"

    def test_no_cell_is_a_formula_and_no_row_is_split(self):
        text = csv_text(["id"], [[t] for t in ("=1", "+1", "-1", "@x", "\tx", "a\rb", "a\nb")])
        assert text.splitlines()[1:] == [
            "'=1",
            "'+1",
            "'-1",
            "'@x",
            "'\\x09x",
            "a\\x0db",
            "a\\x0ab",
        ]
        assert len(list(csv.reader(io.StringIO(text)))) == 8

    def test_negative_numbers_are_no_formulas(self):
        assert csv_text(["a"], [[-0.5]]) == "a\n-0.5\n"


class TestMarkdown:
    def test_table(self):
        lines = markdown_table(TABLE)
        assert (
            lines[0]
            == "| views from | accuracy, % | gain, points | Holm p | fixed | alpha | time |"
        )
        assert lines[1].startswith("| --- | ---: |")
        assert "| **generated and pixel views, combined** | 89.10 [88.00 to 90.12] " in lines[3]
        assert "+1.9 [+0.9 to +2.9] \\* | <0.001 | 1,234 | 0.35 | 3 min |" in lines[3]

    def test_a_bar_in_a_name_does_not_end_its_cell(self):
        table = Table(title="t", columns=(Column(name="a"),), rows=(("x|y",),))
        assert markdown_table(table)[2] == "| x\\|y |"

    def test_whole(self):
        text = "\n".join(markdown(result(), level=3))
        assert text.startswith(
            "### Do views help?\n\n**Beware: 1 of 2 checks failed.**\n\n"
            "- Most reconstructions are one picture. *Start elsewhere.*\n"
        )
        assert "**Significantly better" in text
        assert "`genviews ensemble --images photos`, seed 0." in text
        assert "#### Claims" in text
        assert "| views help | holds | +1.9 points [+0.9, +2.9] | 0.5 points | 0.010 |" in text
        assert "Gains are paired.\n\nAlpha is" in text

    def test_without_what_is_not_there(self):
        text = "\n".join(markdown(result(blocks=(Note(text="a"),), claims=(), gates=())))
        assert "####" not in text


def test_claims_that_were_not_tested_have_no_p():
    claim = Claim(text="a", measured=Estimate(0.5), kind="percent", outcome="not seen")
    assert [c.name for c in claims_table([claim]).columns] == [
        "claim",
        "outcome",
        "measured",
        "said",
    ]
