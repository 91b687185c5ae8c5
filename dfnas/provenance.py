"""Where a result comes from: the commit, the code that was imported, package versions, the machine."""

import ast
import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from dfnas import paths

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "safetensors",
    "papermill",
)


def commit() -> tuple[str, bool]:
    """The short commit of the repository and whether its tree is clean; ("unknown", False) without git."""
    name = _git("rev-parse", "--short=10", "HEAD")
    return (name, _git("status", "--porcelain") == "") if name else ("unknown", False)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on (those that are installed)."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, threads, memory in GB and graphics card ("" where none)."""
    torch = sys.modules.get("torch")  # not imported here: what did not need torch was not computed with it
    return {
        "cpu": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads() if torch else 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "",
    }


def forget_peak_memory() -> None:
    """Let the peak that `peak_memory_mb` tells begin anew, where the kernel can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """The peak resident memory of this process in MB, since its start or since `forget_peak_memory`.

    From the kernel's own account where there is one: getrusage's also holds the peak of the process that started
    this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass  # not Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


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
    return module_digests([name for name in names if name != "dfnas.__main__"])


def module_digests(names: list[str]) -> dict[str, str]:
    """The digest of each module's code as it is on disk today ("" where the module is gone)."""
    return {name: module_digest(_source_of(name)) for name in names}


def module_digest(path: Path | None) -> str:
    """Digest of a module's code; comments, layout and docstrings do not count."""
    if path is None or not path.exists():
        return ""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def _source_of(name: str) -> Path | None:
    """The file of a module of dfnas, found without importing it."""
    stem = Path(__file__).resolve().parent.joinpath(*name.split(".")[1:])
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


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
