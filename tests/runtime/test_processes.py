"""Pieces of work on several processes: the same results in the same order."""

import contextvars
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.runtime import artefacts, paths, processes, stages
from dfnas.runtime.files import write_json

RUN = profiles.load("smoke").run
TWO = dataclasses.replace(RUN, processes=2)
ORPHANS = """
import os, signal, sys, time
from dfnas.runtime import processes
from tests.runtime import test_processes
if __name__ == "__main__":
    for pid in processes.each(test_processes.identify, range(2), test_processes.TWO):
        print(pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def piece(number):
    if number < 0:
        raise UserError("no number below 0")
    return number**2, os.getpid(), torch.get_num_threads()


def test_processes_give_the_same_results_in_the_same_order_and_have_one_thread():
    alone = list(processes.each(piece, range(4), RUN))
    several = list(processes.each(piece, range(4), TWO))
    assert [result[0] for result in alone] == [result[0] for result in several] == [0, 1, 4, 9]
    assert {result[1] for result in alone} == {os.getpid()}
    assert os.getpid() not in {result[1] for result in several}
    assert {result[2] for result in several} == {1}


def test_an_error_comes_through():
    with pytest.raises(UserError, match="below 0"):
        list(processes.each(piece, [1, -1, 2, 3], TWO))


def end(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_line_that_says_what_to_do():
    with pytest.raises(UserError, match=r"killed.* run\.processes=1; finished work is kept"):
        list(processes.each(end, range(2), TWO))


def test_what_is_left_for_this_process_has_one_thread_as_the_others_had(tmp_path, monkeypatch, two_threads):
    """Else bits would depend on what a killed run had finished."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    artefacts.reset()
    assert [threads for _, _, threads in processes.each(piece, [3], TWO)] == [1]
    squared(0), squared(1)
    left = made(TWO)["square-2"]
    assert left == [4, os.getpid(), 1]
    assert torch.get_num_threads() == 2
    assert [threads for _, _, threads in processes.each(piece, [3], RUN)] == [2]


def compute(number):
    stages.note_precision("bf16" if number else "fp32")
    return number


@pytest.mark.parametrize("run", [RUN, TWO])
def test_a_stage_tells_the_precisions_of_its_parts(tmp_path, monkeypatch, run):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    work = lambda _: list(processes.each(compute, range(2), run))  # noqa: E731
    assert stages.stage("parts", work, {}).precision == "bf16, fp32"


def write(number, folder):
    write_json(folder / "made.json", [number, os.getpid(), torch.get_num_threads()])


def squared(number):
    return stages.stage(f"squared-{number}", functools.partial(write, number**2), {"number": number})


def made(run):
    calls = {f"square-{number}": functools.partial(squared, number) for number in range(3)}
    found = processes.made(calls, run, "squares")
    return {label: json.loads((artefact.folder / "made.json").read_bytes()) for label, artefact in found.items()}


def test_stages_are_made_by_several_processes_and_used_by_this_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    artefacts.reset()
    found = made(TWO)
    assert [number for number, _, _ in found.values()] == [0, 1, 4]
    assert os.getpid() not in {process for _, process, _ in found.values()}
    assert [artefact.name for artefact in artefacts.used()] == [f"squared-{number}" for number in range(3)]
    assert made(TWO) == made(RUN) == found


def test_one_of_two_processes_counts_half_of_the_time_and_the_memory_of_both(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    clock = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(stages.machine, "peak_memory_mb", lambda: 100.0)

    def made_by_one_of(count):
        def work(folder):
            clock[0] += 10.0

        stages.share(count)
        return stages.stage("shared", work, {"processes": count})

    alone, shared = (contextvars.copy_context().run(made_by_one_of, count) for count in (1, 2))
    assert (alone.seconds, alone.peak_memory_mb) == (10.0, 100.0)
    assert (shared.seconds, shared.peak_memory_mb) == (5.0, 200.0)


def test_forced_stages_are_made_anew_once_and_by_this_process(tmp_path, monkeypatch, two_threads):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    before = made(TWO)
    artefacts.reset()
    artefacts.force()
    try:
        after = made(TWO)
        assert made(TWO) == after
    finally:
        artefacts.force(False)
    assert {(process, threads) for _, process, threads in after.values()} == {(os.getpid(), 1)}
    assert before.keys() == after.keys()


def test_only_named_stages_are_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    calls = {"one": functools.partial(squared, 1), "two": functools.partial(squared, 2)}
    assert list(stages.keys(lambda: processes.made(calls, TWO, "squares"))) == ["squared-1", "squared-2"]
    assert not list(tmp_path.rglob("made.json"))


def identify(_):
    return os.getpid()


def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(paths.root())}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    children = {int(line) for line in done.stdout.split()}
    assert children, done.stderr
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
