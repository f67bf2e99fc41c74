from __future__ import annotations

import hashlib
import json

import pytest
import torch

from genviews.zoo.card import (
    SECTIONS,
    checked_file,
    read_card,
    record_file,
    save_part,
    start_card,
    update_card,
)


@pytest.fixture
def entry(tmp_path):
    """An entry with a generator, and an encoder that was made with it."""
    start_card(tmp_path, {"about": {"name": "small"}})
    save_part(tmp_path, "g.safetensors", {"w": torch.ones(3)}, what="generator")
    save_part(
        tmp_path, "e.safetensors", {"w": torch.ones(2)}, what="encoder", made_with=["g.safetensors"]
    )
    return tmp_path


class TestWriting:
    def test_files_are_listed_with_hash_and_size(self, entry):
        listed = read_card(entry)["files"]
        data = (entry / "g.safetensors").read_bytes()
        assert listed["g.safetensors"] == {
            "what": "generator",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        assert listed["e.safetensors"]["made_with"] == {
            "g.safetensors": listed["g.safetensors"]["sha256"]
        }

    def test_update_merges_a_section_and_keeps_the_others(self, entry):
        update_card("measured", {"accuracy": 0.5, "loss": 1.0}, entry)
        card = update_card("measured", {"accuracy": 0.6}, entry)
        assert card["measured"] == {"accuracy": 0.6, "loss": 1.0}
        assert card == json.loads((entry / "card.json").read_text())
        assert card["about"] == {"name": "small"}

    def test_sections_stand_in_one_order(self, entry):
        update_card("measured", {}, entry)
        update_card("licence", {"weights": "MIT"}, entry)
        assert list(read_card(entry)) == [s for s in SECTIONS if s in read_card(entry)]

    def test_start_keeps_what_is_there(self, entry):
        before = read_card(entry)
        start_card(entry, {"about": {"text": "new"}})
        assert read_card(entry) == before | {"about": {"name": "small", "text": "new"}}

    def test_unknown_section(self, entry):
        with pytest.raises(ValueError, match=r"section of a card: .* did you mean 'measured'"):
            update_card("mesured", {}, entry)

    def test_refused_value_leaves_the_card(self, entry):
        before = read_card(entry)
        with pytest.raises(ValueError, match="all finite"):
            update_card("measured", {"accuracy": float("nan")}, entry)
        assert read_card(entry) == before

    def test_recording_what_is_not_there(self, entry):
        with pytest.raises(FileNotFoundError, match=r"file 'x.safetensors' of .* got no file"):
            record_file(entry, "x.safetensors", what="x")
        with pytest.raises(FileNotFoundError, match=r"file 'x.safetensors' of"):
            record_file(entry, "g.safetensors", what="g", made_with=["x.safetensors"])


class TestReading:
    def test_good_files(self, entry):
        for name in ("g.safetensors", "e.safetensors"):
            assert checked_file(entry, read_card(entry), name) == entry / name

    @pytest.mark.parametrize("section", SECTIONS)
    @pytest.mark.parametrize("value", ["MIT", ["MIT"], None, 3])
    def test_a_section_of_another_form(self, section, value, tmp_path):
        (tmp_path / "card.json").write_text(json.dumps({section: value}))
        with pytest.raises(
            ValueError, match=rf"^{section} of the card .*: expected .*; correct it"
        ):
            read_card(tmp_path)

    def test_no_card(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"expected a card.json, got no file .*; run the recipe"
        ):
            read_card(tmp_path)

    def test_changed_file(self, entry):
        data = bytearray((entry / "g.safetensors").read_bytes())
        data[-1] ^= 1
        (entry / "g.safetensors").write_bytes(data)
        with pytest.raises(
            ValueError, match=r"'g.safetensors': expected SHA-256 \w{12}..., got \w{12}"
        ):
            checked_file(entry, read_card(entry), "g.safetensors")

    def test_part_of_another_generator(self, entry):
        save_part(entry, "g.safetensors", {"w": torch.zeros(3)}, what="generator")
        checked_file(entry, read_card(entry), "g.safetensors")
        with pytest.raises(ValueError, match=r"expected the g.safetensors that it was made with"):
            checked_file(entry, read_card(entry), "e.safetensors")

    def test_absent_file(self, entry):
        with pytest.raises(
            FileNotFoundError, match=r"expected one of e.*, g.*, got not on the card"
        ):
            checked_file(entry, read_card(entry), "x.safetensors")
        (entry / "g.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match=r"'g.safetensors': .* got not there"):
            checked_file(entry, read_card(entry), "g.safetensors")
