"""Files: whole or not at all, and one line where there is no room."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open

from dfnas.errors import UserError
from dfnas.runtime import files

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
WRITES = {
    "text": lambda path: files.write_text(path, "new: ü\n"),
    "json": lambda path: files.write_json(path, {"new": [1, 2]}),
    "tensors": lambda path: files.write_tensors(path, {"new": torch.ones(100_000)}),
    "checkpoint": lambda path: files.write_checkpoint(path, {"new": torch.ones(100_000)}),
}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_text("old", encoding="utf-8")
    return tmp_path / "file"


def test_what_is_written_is_read_again(tmp_path):
    files.write_text(tmp_path / "text", "ü\n")
    assert (tmp_path / "text").read_bytes() == "ü\n".encode()
    files.write_json(tmp_path / "json", {"a": [1, 2.5, None]})
    assert json.loads((tmp_path / "json").read_bytes()) == {"a": [1, 2.5, None]}
    turned = torch.arange(6.0).view(2, 3).t()  # safetensors takes none that is not contiguous
    files.write_tensors(tmp_path / "tensors", {"a": turned}, {"round": "3"})
    with safe_open(tmp_path / "tensors", "pt") as file:
        assert file.metadata() == {"round": "3"}
        assert torch.equal(file.get_tensor("a"), turned)
    content = {"a": turned, "step": 3, "history": {"loss": [0.5]}}
    files.write_checkpoint(tmp_path / "checkpoint", content)
    again = torch.load(tmp_path / "checkpoint", weights_only=True)
    assert torch.equal(again.pop("a"), turned)
    assert again == {"step": 3, "history": {"loss": [0.5]}}


@pytest.mark.parametrize("kind", WRITES)
def test_a_file_is_replaced_and_its_folder_is_made(kind, path, tmp_path):
    WRITES[kind](path)
    assert path.read_bytes() != b"old"
    WRITES[kind](tmp_path / "some" / "folder" / "file")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "file", "folder", "some"]


def refused(write, path, words):
    """A write that fails is one line, and of it nothing is left but what was there before."""
    with pytest.raises(UserError, match=words) as caught:
        write(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_text(encoding="utf-8") == "old"


@FULL
@pytest.mark.parametrize("kind", ["text", "json", "checkpoint"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(kind, path):
    path.with_name(f"{path.name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    refused(WRITES[kind], path, "No space left on device")


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(28, "No space left on device"),
    ],
)
def test_a_full_disk_under_tensors_is_one_line_too(error, path, monkeypatch):
    def full(tensors, temporary, facts):
        Path(temporary).write_bytes(b"half")
        raise error

    monkeypatch.setattr("safetensors.torch.save_file", full)
    refused(WRITES["tensors"], path, "No space left on device")


@pytest.mark.parametrize("kind", WRITES)
def test_a_file_that_cannot_be_replaced_is_one_line(kind, path, monkeypatch):
    def never(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "replace", never)
    refused(WRITES[kind], path, "Permission denied")


def test_a_folder_under_a_file_is_one_line(path):
    with pytest.raises(UserError, match="cannot write to"):
        files.write_text(path / "below", "new")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("wrong")])
def test_other_errors_are_what_they_are_and_leave_what_was_there(error, path):
    def interrupted():
        with files.replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises((KeyboardInterrupt, ValueError)):
        interrupted()
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert path.read_text(encoding="utf-8") == "old"
