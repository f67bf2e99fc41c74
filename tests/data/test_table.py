"""Tables of labels that are JSON records."""

import json

import pytest

from genviews.data.table import read_table


def test_records_say_what_a_csv_file_says(tmp_path):
    rows = [{"file": "a.png", "label": "dog", "n": 3}, {"file": "b.png", "label": 0}]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    found = read_table(tmp_path / "l.json", tmp_path)
    assert found["a.png"] == ("entry 1", {"label": "dog"})
    assert found["b.png"] == ("entry 2", {"label": "0"})


@pytest.mark.parametrize("label", [None, [1], {"a": 1}])
def test_record_without_a_label(tmp_path, label):
    (tmp_path / "l.json").write_text(json.dumps([{"file": "a.png", "label": label}]))
    with pytest.raises(ValueError, match=r"entry 1.*no label for 'a\.png'"):
        read_table(tmp_path / "l.json", tmp_path)
