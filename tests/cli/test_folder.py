from __future__ import annotations

import logging

from genviews.cli.folder import log_to, stamp


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
