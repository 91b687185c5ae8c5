"""A machine whose locale is not UTF-8: files are UTF-8 all the same, and a run stays what it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tiny

from dfnas.records import provenance
from dfnas.runtime import paths
from dfnas.runtime.files import write_json

ROOT = paths.root()
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SCRIPT = """
import json, os, sys
from pathlib import Path
from dfnas import __main__
from dfnas.publishing import render
from dfnas.records import provenance
folder = Path(sys.argv[1])
codes = [
    __main__.main(["status", "--profile", "smoke"]),
    __main__.main(["handout", "02-synthesis", "--out", str(folder)]),
    __main__.main(["handout", "02-synthesis", "--teacher", "--out", str(folder / "mine.ipynb")]),
]
mine = folder / os.fsdecode(b"\\xc3\\xa9.toml")
mine.write_text('base = "smoke"')
codes.append(__main__.main(["run", "12-results", "--profile", str(mine)]))
dropped = render.drop_missing(folder)
modules = provenance.module_digests(["dfnas.data.folder", "dfnas.records.claims"])
print(json.dumps([codes, dropped, modules, open(folder / "any", "w").encoding]))
"""


def test_what_is_read_and_written_does_not_depend_on_the_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "smoke" / "failed" / f"{tiny.NAME}.json", {"verdict": "failed: cell [3], `größer…`"})
    contents = "format: jb-book\nroot: index\nparts:\n- caption: Größer\n  chapters:\n  - file: book/executed/gone\n"
    (tmp_path / "_toc.yml").write_text(contents, encoding="utf-8")
    environment = {**os.environ, **PLAIN, "DFNAS_RUNS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"failed (cell [3], `gr" in done.stdout
    codes, dropped, modules, encoding = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0, 0, 0, 2]
    assert done.stderr.endswith(b"has letters that this locale lacks: set PYTHONUTF8=1\n")
    assert dropped == ["gone"]
    assert modules == provenance.module_digests(list(modules))  # else the run is older code
    assert encoding.lower() not in ("utf-8", "utf8")  # or this test states nothing
    for name in ("02-synthesis-student.ipynb", "mine.ipynb"):
        assert len(nbformat.read(tmp_path / name, as_version=4).cells) > 10
