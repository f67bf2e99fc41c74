"""What is said of where views pay: one family, every rival counted, nothing said of chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genviews.ensemble.significance import counted_report
from genviews.studies.ensembling.shift_answer import answer, count_claim
from genviews.studies.ensembling.shift_tables import (
    gain_bars,
    other_classifiers,
    pay_table,
    rival_table,
    weight_table,
)
from genviews.studies.ensembling.under_shift import Measured


def rows(shift, fixed, broke, *, over=((200, 0),)):
    """The single image, and generated views that fix and break so many of 1,000."""
    single = counted_report(500, 0, 0, 1000)
    views = counted_report(500 + fixed - broke, fixed, broke, 1000)
    against = {
        f"rival {i}": counted_report(500 + fixed - broke, *pair, 1000)
        for i, pair in enumerate(over)
    }
    common = {"shift": shift, "task": "images"}
    return [
        Measured(**vars(single), **common, row="single image", against={}),
        Measured(
            **vars(views), **common, row="generated views", protocol="known shift", alpha=0.5,
            against=against,
        ),
    ]  # fmt: skip


CLEAN, CLEAR = rows("clean", 5, 5), rows("snow:3", 6, 5)


@pytest.mark.parametrize(
    ("shifts", "said", "tone"),
    [
        (
            [rows("fog:3", 300, 100)],
            "fog:3 they raised accuracy significantly, from 50.0 to 70.0 %, beyond every rival.",
            "better",
        ),
        (
            [rows("fog:3", 300, 100, over=((200, 0), (5, 4)))],
            "raised accuracy significantly, from 50.0 to 70.0 %.",
            "better",
        ),
        ([rows("fog:3", 16, 5)], "under fog:3 no difference was seen (+1.1 points).", ""),
        (
            [rows("fog:3", 100, 300)],
            "lowered accuracy significantly, from 50.0 to 30.0 %.",
            "worse",
        ),
        (
            [rows("fog:3", 300, 100), CLEAR],
            "weighed under the shift they raised accuracy significantly under 1 of 2 corruptions "
            "(by up to 20 points, fog:3); under 1 (fog:3) they were beyond every rival.",
            "better",
        ),
        (
            [rows("fog:3", 300, 100, over=((5, 4),)), CLEAR],
            "under 0 they were beyond every rival.",
            "better",
        ),
        ([rows("fog:3", 100, 300), CLEAR], "under 0 of 2", "worse"),
        ([rows("fog:3", 100, 300), CLEAR], "and lowered it under 1.", "worse"),
        ([rows("fog:3", 300, 100), rows("snow:1", 100, 300)], "under 1 of 2", ""),
    ],
)
def test_the_answer_counts_what_chance_does_not_explain(shifts, said, tone):
    found = [*CLEAN, *(row for shift in shifts for row in shift)]
    text, colour = answer(found)
    assert said in text
    assert colour == tone
    assert text.startswith("On clean images generated views made no difference that matters")


def test_the_verdict_rounds_as_the_table_does():
    single, views = (counted_report(hits, 68 if hits > 79 else 0, 0, 400) for hits in (79, 147))
    common = {"shift": "fog:3", "task": "images", "against": {}}
    found = [
        Measured(**vars(single), **common, row="single image"),
        Measured(**vars(views), **common, row="generated views", protocol="known shift", alpha=0.5),
    ]
    before, after = (f"{100 * one.accuracy:.1f}" for one in found)
    assert f"from {before} to {after} %" in answer(found)[0]


def test_a_rival_that_sees_all_images_at_once_is_told_apart():
    both = rows("fog:3", 300, 100, over=((200, 0), (5, 4)))
    against = dict(zip(("rival 0", "batch statistics"), both[1].against.values(), strict=True))
    both[1] = replace(both[1], against=against)
    said = "every rival that sees one image at a time, "
    assert f"beyond {said}but not beyond batch statistics." in answer([*CLEAN, *both])[0]
    assert f"{said[:-2]}, under 0 of these also beyond b" in answer([*CLEAN, *both, *CLEAR])[0]


def test_classifiers_that_were_trained_otherwise_are_told_apart():
    both = rows("fog:3", 300, 100, over=((200, 0), (5, 4)))
    against = dict(zip(("rival 0", "foreseen"), both[1].against.values(), strict=True))
    both[1] = replace(both[1], against=against)
    other = replace(both[0], task="foreseen")
    text = answer([*CLEAN, *both, other])[0]
    assert text.endswith(
        "beyond every rival that leaves the classifier as it is, but not beyond classifiers that "
        "were trained otherwise."
    )


@pytest.mark.parametrize(
    ("shifts", "outcome"),
    [((), None), (("fog:3",), "contradicted"), (("fog:3", "snow:3"), "holds")],
)
def test_the_papers_count_holds_where_some_gain_and_not_all(shifts, outcome):
    found = [*CLEAN, *rows("fog:3", 300, 100), *CLEAR]
    claims = count_claim(found, shifts)
    assert [claim.outcome for claim in claims] == ([outcome] if outcome else [])


def test_attacks_are_counted_apart_from_corruptions():
    found = [*CLEAN, *rows("fog:3", 300, 100), *rows("pgd:0.1", 400, 0), *rows("cw", 5, 5)]
    text = answer(found, ["pgd:0.1", "cw"])[0]
    said = "under 1 of 1 corruptions (by up to 20 points, fog:3) and 1 of 2 attacks on the"
    assert said in text


def test_the_table_and_the_figure_mark_what_the_sentence_says():
    found = [*CLEAN, *rows("fog:3", 300, 100), *rows("snow:3", 16, 5)]
    for shift in ("snow:1", "snow:2"):
        found += rows(shift, 17, 5)  # p = 0.017 each
    stars = [line[2].significant for line in pay_table(found).rows]
    (column,) = gain_bars(found).columns
    assert stars == [False, True, False, False, False]
    assert [tone in ("better", "worse") for tone in column.tones] == stars
    assert "under 1 of 4 corruptions" in answer(found)[0]


def test_gains_are_one_family_with_clean_images():
    alone = rows("fog:3", 20, 8)  # p = 0.036 by itself, 0.07 of two
    assert "no difference was seen" in answer([*CLEAN, *alone])[0]
    assert "raised accuracy significantly" in answer(alone)[0]


def test_a_column_without_a_number_is_left_out():
    names = [column.name for column in pay_table([*CLEAN, *rows("fog:3", 9, 1)]).columns]
    assert names == ["images", "single image", "generated views"]


def test_the_table_of_rivals_corrects_all_of_its_differences_together():
    one = rows("fog:3", 300, 100, over=((20, 8),))  # p = 0.036 by itself
    both = rows("fog:3", 300, 100, over=((20, 8), (9, 5)))
    chosen = replace(one[0], row="restoration", chosen="median:3")
    alone = rival_table([*one, chosen])
    assert [column.name for column in alone.columns][1:] == [
        "over rival 0", "restoration chosen", "pixel views chosen",
    ]  # fmt: skip
    ((shift, gap, *names),) = alone.rows
    assert (shift, names) == ("fog:3", ["median:3", ""])
    assert (gap.value, gap.significant) == (pytest.approx(0.012), True)
    ((_, first, second, *_),) = rival_table(both).rows
    assert (first.significant, second.significant) == (False, False)


def test_the_table_of_weights_has_each_protocol_with_its_weight():
    single, views = rows("fog:3", 300, 100)
    other = replace(views, protocol="one weight", alpha=0.25, accuracy=0.6)
    table = weight_table([single, views, other])
    line = dict(zip([column.name for column in table.columns], table.rows[0], strict=True))
    assert (line["known shift"].value, line["weight, known shift"]) == (0.7, 0.5)
    assert (line["one weight"].value, line["weight, one weight"]) == (0.6, 0.25)
    assert line["noticing"] is line["weight, noticing"] is None


@pytest.mark.parametrize(("each", "told"), [(False, "made for images"), (True, "for itself")])
def test_other_classifiers_stand_alone_and_with_views(each, told):
    found = rows("fog:3", 300, 100)
    other = [replace(one, task="foreseen", accuracy=one.accuracy + 0.1) for one in found]
    tasks = {"images": "the standard one", "foreseen": "it saw fog"}
    (table,) = other_classifiers([*found, *other], tasks, attacked_each=each)
    line = dict(zip([column.name for column in table.columns], table.rows[0], strict=True))
    assert line["images"].value == 0.5
    assert line["foreseen, with views"].value == pytest.approx(0.8)
    assert line["images, with views"].significant
    assert told in table.caption
    assert [column.help for column in table.columns if column.name == "foreseen"] == ["it saw fog"]
    assert other_classifiers(found, {"images": ""}) == []
