"""Several processes do what one does: the same set, the same training, the same search."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from dfnas import profiles
from dfnas.data import synthetic, teachers
from dfnas.errors import UserError
from dfnas.runtime import distributed

WORKER = Path(__file__).with_name("worker.py")


def work(task, folder, processes=1, restarts=0):
    """Run the worker alone or under torchrun, a thread a process."""
    runner = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    runner += [] if processes == 1 else [str(processes), "--max-restarts", str(restarts)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parents[2])}
    command = [sys.executable, *runner, str(WORKER), task, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return {task: work(task, folder / task) for task in ("synthesise", "train", "search", "judge")}


def shards(folder):
    """What the shards hold, to the bit; safetensors writes metadata in no fixed order."""
    content = {}
    for path in sorted(folder.glob("round-*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name).numpy().tobytes() for name in sorted(file.keys())}
            content[path.name] = (tensors, sorted(file.metadata().items()))
    return content


@pytest.mark.parametrize("processes", [2, 3])
def test_a_synthetic_set_is_the_same_from_any_number_of_processes(processes, alone, tmp_path):
    made = work("synthesise", tmp_path / "set", processes)
    assert len(shards(made)) == 12
    assert shards(made) == shards(alone["synthesise"])
    assert not list(made.glob(".locks*"))


def test_a_worker_that_is_killed_is_started_again_and_the_set_is_the_same(alone, tmp_path):
    made = work("synthesise", tmp_path / "killed", 2, restarts=1)
    assert len(list(made.glob("made-by-*"))) > 2  # of two starts
    assert shards(made) == shards(alone["synthesise"])
    assert len(synthetic.load(made, teachers.load(profiles.load("smoke")))) == 240


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return work("train", tmp_path_factory.mktemp("together"), 2)


@pytest.mark.parametrize("kind", ["plain", "spos", "darts"])
def test_two_processes_train_as_one_that_takes_the_halves_in_turn(kind, alone, together):
    """Batch statistics of each half, gradients averaged: to 1e-10 in float64 after 20 steps."""
    one, two = (load_file(folder / f"{kind}.safetensors") for folder in (alone["train"], together))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.dtype == torch.float64
        assert torch.allclose(value, two[name], rtol=0, atol=1e-10), name
    if kind == "darts":
        assert float(one["alphas.0"].abs().max()) > 0.1  # they moved


def test_processes_share_out_the_candidates_of_a_search(alone, tmp_path):
    folder = work("search", tmp_path / "search", 3)
    known, known_folder = json.loads((alone["search"] / "evaluated-0.json").read_bytes())
    parts = [json.loads((folder / f"evaluated-{rank}.json").read_bytes()) for rank in range(3)]
    evaluated = [tuple(candidate) for mine, _ in parts for candidate in mine]
    assert sorted(evaluated) == sorted(map(tuple, known))
    assert len(set(evaluated)) == len(evaluated)  # each by one process alone
    assert [len(mine) for mine, _ in parts] == [12, 8, 8]  # four generations of seven
    assert len({artefact for _, artefact in parts}) == 1
    for name in ("evolution.jsonl", "best.json"):
        assert (Path(parts[0][1]) / name).read_bytes() == (Path(known_folder) / name).read_bytes()
    assert [path.name for path in (folder / "stages").iterdir() if ".rank" in path.name] == []


@pytest.mark.parametrize("done", [0, 1])
def test_processes_share_out_the_paths_that_are_judged(done, alone, tmp_path):
    """Six paths, or the five that are left, are not divisible by four: the last group is incomplete."""
    known = (alone["judge"] / "judged.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(known) == 6
    folder = tmp_path / "judge"
    folder.mkdir()
    if done:
        (folder / "before.jsonl").write_text("".join(known[:done]), encoding="utf-8")
    assert (work("judge", folder, 4) / "judged.jsonl").read_text(encoding="utf-8") == "".join(known)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 3)
    with pytest.raises(UserError, match="3 processes cannot share a batch of 8"):
        distributed.part(torch.zeros(8, 2), torch.zeros(8))


def test_one_process_shares_with_nobody(tmp_path):
    assert list(distributed.share([1, 2, 3], lambda item: item == 2, tmp_path)) == [1, 3]
    assert list(tmp_path.iterdir()) == []
