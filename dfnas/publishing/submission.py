"""One handed-in notebook, executed cell by cell in this process: `python -m dfnas.publishing.submission FILE LOG`.

The process is the notebook's: what grades it ends it where it takes too long or too much. Each line of the log is a
code cell that was run, as JSON; a check's has its id and what failed. A killed process leaves those that it came to.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from dfnas.publishing import notebooks


def execute(path: Path, log: Path) -> None:
    """Run every code cell, whatever became of those before it."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    code = [cell for cell in notebooks.read_notebook(path).cells if cell.cell_type == "code"]
    with open(log, "a", encoding="utf-8") as lines:
        for cell in code:
            result = shell.run_cell(cell.source)
            error = result.error_before_exec or result.error_in_exec
            check = "check" in cell.metadata.get("tags", [])
            line = {"check": cell.id, "failure": _words(error)} if check else {}
            lines.write(json.dumps(line) + "\n")
            lines.flush()


def _words(error: BaseException | None) -> str:
    """What an exception says, in one line; "" for none."""
    if error is None:
        return ""
    name = "" if isinstance(error, AssertionError) and str(error) else f"{type(error).__name__}: "
    return " ".join(f"{name}{error}".split())


if __name__ == "__main__":
    with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
        execute(Path(sys.argv[1]), Path(sys.argv[2]))
