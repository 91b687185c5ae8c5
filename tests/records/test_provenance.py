"""Where results come from: commits, code digests, versions, machine."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from dfnas.records import provenance
from dfnas.runtime import machine, paths

CODE = '"""Module."""\n\n\ndef double(x):\n    """Twice x."""\n    return 2 * x\n'


def digest(folder: Path, code: str) -> str:
    path = folder / "module.py"
    path.write_text(code, encoding="utf-8")
    return provenance.module_digest(path)


@pytest.mark.parametrize(
    "polished",
    [
        CODE.replace("Twice x.", "Two times x."),
        CODE.replace('"""Module."""', ""),
        CODE.replace("return", "# twice\n    return"),
        CODE.replace("2 * x", "(2 * x)"),
    ],
)
def test_docstrings_comments_and_layout_do_not_change_a_digest(tmp_path: Path, polished: str) -> None:
    assert digest(tmp_path, polished) == digest(tmp_path, CODE)


def test_code_changes_a_digest(tmp_path: Path) -> None:
    assert digest(tmp_path, CODE.replace("2 * x", "3 * x")) != digest(tmp_path, CODE)


def test_a_module_of_nothing_but_docstrings_has_a_digest(tmp_path: Path) -> None:
    assert digest(tmp_path, '"""Only this."""\n') == digest(tmp_path, "")


def test_the_modules_recorded_are_those_imported() -> None:
    found = provenance.imported_modules()
    assert "dfnas.records.provenance" in found
    assert "dfnas.rendering_of_nothing" not in found
    assert all(found.values())


def test_outside_a_repository_a_version_stands_for_the_commit_and_is_never_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == ("version 0.1.0", False)


def test_versions_and_machine_are_told() -> None:
    assert {"python", "numpy", "torch"} <= machine.versions().keys()
    described = machine.description()
    assert described["cpu"]
    assert described["cores"] >= 1
    assert described["memory_gb"] > 0


def test_the_peak_of_memory_is_this_process_and_not_its_parents() -> None:
    held = numpy.ones(40_000_000)  # 320 MB
    command = [sys.executable, "-c", "from dfnas.runtime import machine; print(machine.peak_memory_mb())"]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0 < float(child.stdout) < 300 < held.nbytes / 1e6 < machine.peak_memory_mb()
