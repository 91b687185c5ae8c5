"""A handout in otter-grader's format: a notebook whose checks are otter's tests, and the zip that grades it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from nbformat.v4 import new_code_cell

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import handout, notebooks
from dfnas.runtime.files import write_text

TEST = """from otter.test_files import test_case

OK_FORMAT = False
name = "{name}"
points = {points}
CHECK = {check!r}


@test_case()
def test_{name}(env):
    exec(CHECK, dict(env))
"""


def write(name: str, out: Path) -> Path:
    """Write <chapter>-otter in a folder: the notebook and its tests for students, autograder.zip for the server.

    Raises
    ------
    UserError
        No such chapter; the folder is there already; otter-grader is not installed, or fails.
    """
    if name not in profiles.CHAPTERS:
        raise UserError(f"no chapter {name!r}; there are {', '.join(profiles.CHAPTERS)}")
    if importlib.util.find_spec("otter") is None:
        raise UserError("otter-grader is not installed: pip install otter-grader")
    folder = out.expanduser() / f"{name}-otter"
    if folder.exists():
        raise UserError(f"{folder} is there already: remove it, or name another place with --out")
    given = handout.of_chapter(name)
    given.cells = [cell for cell in given.cells if "compare" not in cell.metadata.get("tags", [])]
    checks = [cell for cell in given.cells if handout.CHECK in cell.metadata.get("tags", [])]
    for number, cell in enumerate(checks, 1):
        test = TEST.format(name=f"q{number}", points=cell.metadata["dfnas"]["points"], check=cell.source)
        write_text(folder / "tests" / f"q{number}.py", test)
        cell.source = f'grader.check("q{number}")'
    begin = f'import otter\n\ngrader = otter.Notebook("{name}.ipynb")'
    given.cells.insert(1, new_code_cell(begin, id="otter"))
    notebooks.write_notebook(given, folder / f"{name}.ipynb")
    write_text(folder / "requirements.txt", "dfnas\n")
    command = [sys.executable, "-m", "otter", "generate", "-t", "tests", "-o", "autograder.zip"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"otter generate failed: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return folder
