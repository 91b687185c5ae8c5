"""Stages: done once, atomically, found again, and honest about what they took."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError

from dfnas import profiles
from dfnas.chapters import index as chapters_index
from dfnas.errors import UserError
from dfnas.runtime import artefacts, devices, files, logs, stages


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    artefacts.reset()
    yield tmp_path
    artefacts.force(False)
    artefacts.reset()


def count(calls, content="made"):
    def work(folder):
        calls.append(folder)
        (folder / "result").write_text(content, encoding="utf-8")

    return work


def test_a_stage_is_done_once(runs):
    calls = []
    first, second = (stages.stage("a", count(calls), {"x": 1}) for _ in range(2))
    assert len(calls) == 1
    assert first == second
    assert (first.folder / "result").read_text(encoding="utf-8") == "made"
    assert not list(runs.glob("stages/*.partial"))
    assert [artefact.name for artefact in artefacts.used()] == ["a", "a"]


@pytest.mark.parametrize(
    "change", [{"settings": {"x": 2}}, {"inputs": ["other"]}, {"version": 2}, {"settings": {"x": 1, "y": 0}}]
)
def test_the_key_follows_all_that_the_result_depends_on(change):
    base = {"settings": {"x": 1}, "inputs": ["input"], "version": 1}
    keys = [stages.stage("a", count([]), **{**base, **more}).key for more in ({}, change)]
    assert keys[0] != keys[1]


def test_an_inputs_key_goes_into_the_key():
    one, other = (stages.stage("input", count([]), {"x": x}) for x in (1, 2))
    assert stages.stage("a", count([]), {}, [one]).key != stages.stage("a", count([]), {}, [other]).key


def test_the_precision_is_in_the_key_as_it_is_asked_for_and_in_the_facts_as_it_became():
    """Whatever `auto` becomes on a machine, its key is that of a stage that knows of no precision."""
    network, keys, became = torch.nn.Conv2d(3, 4, 3), {}, {}

    def work(folder):
        with devices.autocast(run, network):
            pass

    for asked in ("auto", "fp32", "bf16"):
        run = profiles.RunSettings(device="cpu", precision=asked)
        artefact = stages.stage("a", work, {}, run=run)
        keys[asked], became[asked] = artefact.key, artefact.precision
        assert json.loads((artefact.folder / "stage.json").read_bytes())["precision"] == artefact.precision
    assert len(set(keys.values())) == 3
    assert keys["auto"] == stages.keys(lambda: stages.stage("a", work, {}))["a"]
    automatic = "bf16" if devices.bf16(profiles.RunSettings(device="cpu"), network) else "fp32"
    assert became == {"auto": automatic, "fp32": "fp32", "bf16": "bf16"}


def test_how_a_run_is_computed_is_no_part_of_any_key():
    settings = profiles.load("smoke")
    other = dataclasses.replace(settings, run=dataclasses.replace(settings.run, device="cpu", compile=True))

    for name in settings.chapters:
        assert chapters_index.stage_keys(name, settings) == chapters_index.stage_keys(name, other)


def test_a_failed_stage_leaves_no_artefact_and_finds_its_work_again():
    def fail(folder):
        (folder / "half").write_text("kept", encoding="utf-8")
        raise RuntimeError("no")

    seen = []
    with pytest.raises(RuntimeError):
        stages.stage("a", fail, {})
    stages.stage("a", lambda folder: seen.append((folder / "half").read_text(encoding="utf-8")), {})
    assert seen == ["kept"]


def test_seconds_of_every_sitting_count():
    import time

    def fail(folder):
        time.sleep(0.2)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        stages.stage("a", fail, {})
    artefact = stages.stage("a", count([]), {})
    assert artefact.seconds > 0.2
    assert json.loads((artefact.folder / "stage.json").read_bytes())["threads"] >= 1


def test_a_full_disk_is_one_line():
    def full(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left") as caught:
        stages.stage("a", full, {})
    assert "\n" not in str(caught.value)


def test_keys_are_known_without_running_anything():
    calls = []
    keys = stages.keys(lambda: stages.stage("a", count(calls), {"x": 1}))
    assert calls == []
    assert stages.stage("a", count(calls), {"x": 1}).key == keys["a"]


def test_a_forced_stage_that_fails_leaves_what_was_there():
    artefact = stages.stage("a", count([], "first"), {})
    artefacts.reset()
    artefacts.force()

    def fail(folder):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        stages.stage("a", fail, {})
    assert (artefact.folder / "result").read_text(encoding="utf-8") == "first"


def test_force_recomputes_once():
    calls = []
    stages.stage("a", count(calls), {})
    artefacts.reset()
    artefacts.force()
    stages.stage("a", count(calls), {})
    stages.stage("a", count(calls), {})
    assert len(calls) == 2


@dataclasses.dataclass(frozen=True)
class Before:
    rate: float = 0.1
    steps: int = 5


@dataclasses.dataclass(frozen=True)
class After:
    rate: float = 0.1
    steps: int = 5
    clip: float = 0.0


def test_a_setting_that_is_added_later_and_left_alone_changes_no_key() -> None:
    assert stages.digest({"training": Before(0.2)}) == stages.digest({"training": After(0.2)})
    assert stages.digest(After(0.2)) != stages.digest(After(0.2, clip=1.0))
    assert stages.plain(After()) == {"rate": 0.1, "steps": 5, "clip": 0.0}


def test_what_a_stage_leaves_alone_is_named_and_what_is_added_later_is_in_its_key() -> None:
    assert stages.without(After(0.2), "steps") == {"rate": 0.2, "clip": 0.0}
    assert stages.without(After(0.2)) == {"rate": 0.2, "steps": 5, "clip": 0.0}
    key = [stages.digest(stages.without(value, "steps")) for value in (After(steps=6), After(), After(clip=1.0))]
    assert key[0] == key[1] != key[2]
    with pytest.raises(ValueError, match="After has no batch, scratch"):
        stages.without(After(), "scratch", "steps", "batch")


def test_a_stage_that_is_left_is_one_that_is_neither_made_nor_forced_nor_only_named() -> None:
    ask = lambda: stages.stage("a", count([]), {})  # noqa: E731
    assert stages.left(ask)
    with stages.dry():
        assert not stages.left(ask)
    ask()
    assert not stages.left(ask)
    assert [artefact.name for artefact in artefacts.used()] == ["a"]  # to look was not to ask


TWICE = """
import sys, time
from pathlib import Path
from dfnas.runtime import stages
def work(folder):
    with open(Path(sys.argv[1]), "a") as log:
        log.write("worked\\n")
    time.sleep(0.5)
print(stages.stage("slow", work, {}).folder)
"""


def test_two_processes_do_a_stage_once(tmp_path):
    log = tmp_path / "log"
    start = lambda: subprocess.Popen([sys.executable, "-c", TWICE, str(log)], stdout=subprocess.PIPE)  # noqa: E731
    outputs = [process.communicate()[0] for process in (start(), start())]
    assert outputs[0] == outputs[1] != b""
    assert log.read_text(encoding="utf-8") == "worked\n"


def text(folder):
    (folder / "text").symlink_to("/dev/full")
    (folder / "text").write_text("new", encoding="utf-8")


def row(folder):
    (folder / "log").symlink_to("/dev/full")
    logs.append(folder / "log", {"a": 1})


def whole(write, value):
    def work(folder):
        (folder / f"file.{os.getpid()}.tmp").symlink_to("/dev/full")
        write(folder / "file", value)

    return work


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
@pytest.mark.parametrize(
    "write",
    [text, row, whole(files.write_text, "new"), whole(files.write_checkpoint, {"weights": torch.ones(100_000)})],
    ids=["text", "row of a log", "whole file", "checkpoint"],
)
def test_a_full_disk_is_one_line_whoever_meets_it_and_work_is_kept(write, runs):
    def work(folder):
        (folder / "half").write_text("kept", encoding="utf-8")
        write(folder)

    with pytest.raises(UserError, match=r"\(No space left on device\): mend it and run again") as caught:
        stages.stage("full", work, {})
    assert "\n" not in str(caught.value)
    seen = []
    stages.stage("full", lambda folder: seen.append((folder / "half").read_text(encoding="utf-8")), {})
    assert seen == ["kept"]


def test_a_full_disk_under_tensors_is_one_line_too(monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match=r"cannot write .*model.safetensors .*No space left") as caught:
        stages.stage("full", lambda folder: files.write_tensors(folder / "model.safetensors", {}), {})
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_to_the_last_byte_hides_no_error(monkeypatch):
    """Where not even the time that was spent can be written down, what stopped the stage is still what is said."""

    def full(folder):
        monkeypatch.setattr(files.os, "replace", never)
        raise OSError(28, "No space left on device")

    def never(*_):
        raise OSError(5, "Input/output error")

    with pytest.raises(UserError, match=r"stage full stopped \(No space left on device\)"):
        stages.stage("full", full, {})


def test_other_errors_are_not_taken_for_a_full_disk():
    def work(folder):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        stages.stage("wrong", work, {})


def test_a_stage_s_peak_memory_is_its_own():
    """Though freed memory is kept while a stage lasts."""
    big = stages.stage("big", lambda folder: len(bytearray(300_000_000)), {})
    small = stages.stage("small", lambda folder: None, {})
    assert small.peak_memory_mb < big.peak_memory_mb - 200


def test_what_a_kill_left_of_a_write_is_no_part_of_an_artefact(tmp_path):
    def work(folder):
        (folder / "checkpoint.pt.123.tmp").write_text("half", encoding="utf-8")
        (folder / "result").write_text("whole", encoding="utf-8")

    artefact = stages.stage("swept", work, {})
    assert {path.name for path in artefact.folder.iterdir()} == {"result", "stage.json", "sittings.json"}


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", "{}", '{"key": 3, "seconds": 1, "peak_memory_mb": 1, "threads": 1}']
)
def test_a_damaged_stage_json_is_one_line_and_its_folder_stays(damage):
    made = stages.stage("a", count([]), {"x": 1})
    (made.folder / "stage.json").write_text(damage, encoding="utf-8")
    with pytest.raises(UserError, match=r"stage\.json is damaged .*: delete its folder and run again"):
        stages.stage("a", count([]), {"x": 1})
    assert (made.folder / "result").exists()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"seconds": "x"}'])
def test_damaged_times_of_earlier_sittings_stop_nothing(damage, runs):
    def work(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.stage("a", work, {})
    (sittings,) = runs.glob("stages/*.partial/sittings.json")
    sittings.write_text(damage, encoding="utf-8")
    assert stages.stage("a", count([]), {}).seconds < 60


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"), UserError),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), UserError),
        (MemoryError(), UserError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_too_little_memory_is_one_line_and_other_errors_are_not_taken_for_it(error, expected):
    def work(folder):
        raise error

    with pytest.raises(expected, match="stage a needs more memory" if expected is UserError else "shapes"):
        stages.stage("a", work, {})
