"""Logs of long stages."""

import pytest

from dfnas.runtime import logs


def test_a_line_that_was_cut_short_is_dropped_and_can_be_written_again(tmp_path):
    file = tmp_path / "log.jsonl"
    assert logs.read(file) == []
    rows = [{"value": 0.5}, {"value": 0.25}]
    for row in rows:
        logs.append(file, row)
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert logs.read(file) == rows[:1]
    assert file.read_bytes() == whole[:-3]  # a reader leaves the file of a writer alone
    logs.mend(file)
    logs.append(file, rows[1])
    assert file.read_bytes() == whole
    logs.write(file, rows)
    assert file.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_log_that_is_none_raises(tmp_path):
    (tmp_path / "log.jsonl").write_text("no JSON\n", encoding="utf-8")
    with pytest.raises(ValueError, match="Expecting value"):
        logs.read(tmp_path / "log.jsonl")
