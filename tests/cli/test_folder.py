from __future__ import annotations

import logging

import pytest

from genviews.cli.folder import (
    check_unfinished,
    is_finished,
    log_to,
    stamp,
    write_json,
)

RESULTS = ("report.html", "results.json")


def finish(folder, config):
    write_json(folder / "config.json", config)
    for name in RESULTS:
        (folder / name).write_text("{}")


def test_empty_folder_is_not_finished(tmp_path):
    assert not is_finished(tmp_path, {"seed": 0}, RESULTS)
    assert not is_finished(tmp_path / "none", {"seed": 0}, RESULTS)


@pytest.mark.parametrize("missing", RESULTS)
def test_a_missing_result_is_not_finished(tmp_path, missing):
    finish(tmp_path, {"seed": 0})
    (tmp_path / missing).unlink()
    assert not is_finished(tmp_path, {"seed": 0}, RESULTS)
    assert not is_finished(tmp_path, {"seed": 1}, RESULTS)


def test_same_config_is_finished(tmp_path):
    config = {"seed": 0, "views": 32, "perturb": ["a"], "weights": None}
    finish(tmp_path, config)
    assert is_finished(tmp_path, config, RESULTS)


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 0, "views": 8}, {}])
def test_other_config_is_refused_with_the_difference(tmp_path, other):
    finish(tmp_path, {"seed": 0})
    with pytest.raises(ValueError, match=r"results of another run \(.*choose another .* --force"):
        is_finished(tmp_path, other, RESULTS)


def test_the_difference_is_named(tmp_path):
    finish(tmp_path, {"seed": 0, "views": 32})
    with pytest.raises(ValueError, match=r"\(seed 0 there, 1 now\)"):
        is_finished(tmp_path, {"seed": 1, "views": 32}, RESULTS)


def test_unreadable_config_is_another_run(tmp_path):
    finish(tmp_path, {"seed": 0})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="another run"):
        is_finished(tmp_path, {"seed": 0}, RESULTS)


class TestUnfinished:
    @pytest.fixture
    def begun(self, tmp_path):
        write_json(tmp_path / "config.json", {"seed": 0, "stamps": {"images": "a"}})
        (tmp_path / "latents").mkdir()
        return tmp_path

    def test_the_same_settings_go_on(self, begun):
        check_unfinished(begun, {"seed": 0, "stamps": {"images": "b"}}, ("latents",))

    def test_others_are_refused_with_the_difference(self, begun):
        with pytest.raises(ValueError, match=r"unfinished run of others \(seed 0 there, 1 now\)"):
            check_unfinished(begun, {"seed": 1}, ("latents",))

    def test_without_work_there_is_nothing_to_mix(self, begun, tmp_path):
        check_unfinished(begun, {"seed": 1}, ("elsewhere",))
        (begun / "config.json").unlink()
        check_unfinished(begun, {"seed": 1}, ("latents",))


class TestStamp:
    def test_tells_changes(self, tmp_path):
        folder = tmp_path / "images"
        folder.mkdir()
        seen = {stamp(folder)}
        (folder / "a.png").write_bytes(b"1")
        seen.add(stamp(folder))
        (folder / "a.png").write_bytes(b"12")
        seen.add(stamp(folder))
        (folder / "a.png").rename(folder / "b.png")
        seen.add(stamp(folder))
        assert len(seen) == 4
        assert stamp(folder) in seen

    def test_does_not_depend_on_where_the_folder_is(self, tmp_path):
        folder = tmp_path / "a"
        folder.mkdir()
        (folder / "x").write_bytes(b"1")
        before = stamp(folder)
        assert stamp(folder.rename(tmp_path / "b")) == before

    def test_of_a_file(self, tmp_path):
        (tmp_path / "x").write_bytes(b"1")
        before = stamp(tmp_path / "x")
        (tmp_path / "x").write_bytes(b"22")
        assert stamp(tmp_path / "x") != before


def test_log_is_appended_and_the_logger_left_as_it_was(tmp_path):
    logger = logging.getLogger("genviews")
    before = (logger.level, list(logger.handlers))
    for text in ("first", "second"):
        with log_to(tmp_path / "log.txt"):
            logging.getLogger("genviews.cli").info(text)
    logging.getLogger("genviews.cli").info("after")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split()[-2:] for line in lines] == [["INFO", "first"], ["INFO", "second"]]
    assert (logger.level, list(logger.handlers)) == before
