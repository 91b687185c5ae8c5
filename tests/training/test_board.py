"""TensorBoard: what a training writes where it is asked to, and one line where the package is missing."""

import dataclasses
import importlib.util
import sys
import types

import pytest

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.training import board


class Writer:
    """TensorBoard's, as far as it is called: the package is no requirement."""

    def __init__(self, folder, purge_step):
        self.folder, self.purge_step, self.points, self.open = folder, purge_step, [], True
        WRITERS.append(self)

    def add_scalar(self, name, value, step):
        self.points.append((name, value, step))

    def flush(self):
        pass

    def close(self):
        self.open = False


WRITERS: list[Writer] = []


def test_a_training_writes_its_curves_where_its_stage_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    asked = dataclasses.replace(profiles.RunSettings(), tensorboard=True)
    log = board.log(asked, tmp_path / "stages" / "student-1234.partial" / "0", "student 3", 100)
    board.note(log, 200, loss=1.0, side=16)
    board.close(log)
    (writer,) = WRITERS
    assert writer.folder == str(tmp_path / "tensorboard" / "student-1234" / "0" / "student-3")
    assert writer.purge_step == 100
    assert writer.points == [("loss", 1.0, 200), ("side", 16, 200)]
    assert not writer.open


def test_nothing_is_written_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    log = board.log(profiles.RunSettings(), None, "student", 0)
    board.note(log, 1, loss=1.0)
    board.close(log)
    assert list(tmp_path.iterdir()) == []


def test_the_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^run.tensorboard=True: .*pip install tensorboard$"):
        profiles.load("smoke", 0, ["run.tensorboard=true"])
