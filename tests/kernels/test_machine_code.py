"""What the kernels compile to for an A100 and an H100, read from the machine code: no GPU is needed for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import cases

SCRIPT = Path(__file__).with_name("machine_code.py")
SUMS = 2  # narrow stores that such a kernel may have: of partial sums


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Every kernel of every case for both architectures; compiled in another process, never in the interpreter."""
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton"))}
    environment.pop("TRITON_INTERPRET", None)
    environment["PYTHONPATH"] = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout)


def test_every_case_compiles_for_both_architectures(rows):
    assert {row["case"] for row in rows} == set(cases.CASES)
    for architecture in (80, 90):
        assert sum(row["architecture"] == architecture for row in rows) >= 20


def test_nothing_is_spilled(rows):
    spilling = [(row["case"], row["kernel"]) for row in rows if row["stack"] or row["local"] or "STL" in row]
    assert not spilling


def test_registers_leave_room_for_four_blocks_of_threads(rows):
    """Of 65,536 registers, 128 threads of 128 each take a quarter: four blocks hide each other's waits."""
    assert not [(row["case"], row["kernel"], row["reg"]) for row in rows if row["reg"] > 128]


def test_shared_memory_never_limits(rows):
    """It is for sums across warps alone: sixteen blocks of threads take a tenth of what either device has."""
    assert max(row["shared"] for row in rows) <= 1024


def test_activations_and_images_move_sixteen_bytes_at_a_time(rows):
    read = [row for row in rows if "LDG" in row]
    assert {row["case"] for row in read} >= {case for case in cases.CASES if case.split()[0] in cases.WIDE}
    for row in read:
        wide = 128 in row["LDG"] and 128 in row["STG"] and sum(width < 128 for width in row["STG"]) <= SUMS
        assert wide != (row["case"] in cases.NARROW), row
