"""Where a result comes from: the commit, the code that was imported, package versions, the machine."""

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dfnas import __version__
from dfnas.runtime import paths


def commit() -> tuple[str, bool]:
    """The short commit of the repository and whether its tree is clean; without git the version of the package.

    An installation has no commit, whatever repository it may lie in, and counts as clean.
    """
    installed = paths.INSTALLED.is_dir()
    name = "" if installed else _git("rev-parse", "--short=10", "HEAD")
    return (name, _git("status", "--porcelain") == "") if name else (f"version {__version__}", installed)


def code_digest(cells: list[Any]) -> str:
    """Digest of a notebook's code cells, in order, without the parameters that papermill injected."""
    sources = [cell.source.strip() for cell in cells if cell.cell_type == "code" and not is_injected(cell)]
    return hashlib.sha256(json.dumps([source for source in sources if source]).encode()).hexdigest()


def is_injected(cell: Any) -> bool:
    """Whether papermill put this cell in."""
    return "injected-parameters" in cell.metadata.get("tags", [])


def imported_modules() -> dict[str, str]:
    """The digest of every module of dfnas that this process has imported."""
    names = sorted(name for name in list(sys.modules) if name == "dfnas" or name.startswith("dfnas."))
    files = [name for name in names if getattr(sys.modules[name], "__file__", None)]  # a bare folder has no code
    return module_digests([name for name in files if name != "dfnas.__main__"])


def module_digests(names: list[str]) -> dict[str, str]:
    """The digest of each module's code as it is on disk today ("" where the module is gone)."""
    return {name: module_digest(_source_of(name)) for name in names}


def module_digest(path: Path | None) -> str:
    """Digest of a module's code; comments, layout and docstrings do not count."""
    if path is None or not path.exists():
        return ""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def _source_of(name: str) -> Path | None:
    """The file of a module of dfnas, found without importing it."""
    stem = Path(__file__).resolve().parents[1].joinpath(*name.split(".")[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.exists():
            return path
    return None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=paths.root(), capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown state" if arguments[0] == "status" else ""
    return done.stdout.strip()
