"""Executing notebooks: papermill runs them, `verdicts` judges them, and only a good run takes its place.

A notebook and its record are made in a staging folder and moved into the run folder when they are good; a failed run
goes to failed/ and leaves an earlier good one as it was.
"""

import logging
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfnas import profiles, records
from dfnas.data import presence
from dfnas.errors import UserError, reason
from dfnas.profiles import Settings
from dfnas.publishing import notebooks, status
from dfnas.publishing.status import State
from dfnas.records import provenance
from dfnas.runtime import paths
from dfnas.runtime.files import write_json


@dataclass(frozen=True)
class Options:
    """How notebooks are run; nothing here belongs to the identity of a run."""

    force: bool = False  # run again what is good and fresh, and recompute its stages
    device: str = ""  # auto | cpu | cuda; "": the profile's
    timeout: int | None = None  # seconds for one cell


def choose(names: Sequence[str], settings: Settings) -> list[str]:
    """The chapters named, or all of the profile that the data allow.

    Raises
    ------
    UserError
        An unknown chapter, or one that the profile does not have.
    """
    for name in names:
        profiles.require_chapter(name, settings)
    left_out = () if names or presence.has_train(settings.data) else profiles.NEED_REAL
    return [name for name in names or settings.chapters if name not in left_out]


def run(name: str, settings: Settings, options: Options) -> State:
    """Run a chapter's notebook unless it is good and fresh; say how it went.

    Raises
    ------
    UserError
        The run folder cannot be written, or there is no such notebook.
    """
    there = status.state(name, settings)
    if there.word == "good" and not options.force:
        return State("kept", there.why, there.record)
    return execute(notebooks.source(name), name, settings, options)


def execute(path: Path, name: str, settings: Settings, options: Options) -> State:
    """Execute one notebook and put it where it belongs: the run folder when it is good, else failed/."""
    original = notebooks.read_notebook(path)
    folder = paths.make_folder(paths.run_folder(settings))
    with staging_folder(folder, name) as staging:
        stopped = papermill_notebook(path, staging / f"{name}.ipynb", settings, staging, options)
        notebook = notebooks.read_notebook(staging / f"{name}.ipynb")
        record = records.read(staging / f"{name}.json")
        why = status.failure(notebook, record, stopped)
        if record is not None and record.get("profile", settings.profile) != settings.profile:
            why = f"{settings.file} was changed when this run had begun: run again"
        facts = {**(record or _bare_record(name, settings)), "verdict": f"failed: {why}" if why else "good"}
        facts["code_digest"] = provenance.code_digest(original.cells)
        facts["content_digest"] = notebooks.content_digest(notebook)
        facts["run_number"] = run_number(name, settings, facts)
        write_json(staging / f"{name}.json", facts)
        _move(staging, folder / "failed" if why else folder, name)
    if why:
        kind, text = status.first_error(notebook)
        return State("failed", why, facts, text if kind == "UserError" else "")
    for file in _files(folder / "failed", name):  # the failure before is mended
        file.unlink()
    return State("good", "", facts)


def run_number(name: str, settings: Settings, facts: dict[str, Any]) -> int:
    """Which run of its kind this is, of those kept or published before: one with the same stages is the same again."""
    own = settings.seed or settings.overrides or settings.file
    folders = [paths.run_folder(settings), *([] if own else [paths.published(settings.profile)])]
    before = filter(None, (records.read(folder / f"{name}.json") for folder in folders))
    return max([1, *(each.get("run_number", 1) + (_keys(each) != _keys(facts)) for each in before)])


def _keys(record: dict[str, Any]) -> set[str]:
    return {stage["key"] for stage in record.get("stages", {}).values()}


def _files(folder: Path, name: str) -> list[Path]:
    return [*folder.glob(f"{name}.*.json"), *folder.glob(f"{name}.ipynb"), *folder.glob(f"{name}.json")]


def _move(staging: Path, folder: Path, name: str) -> None:
    """Move a run's files; the record last, because it vouches for the others."""
    paths.make_folder(folder)
    try:
        for file in _files(staging, name):
            os.replace(file, folder / file.name)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): mend it and run again") from None


def _bare_record(name: str, settings: Settings) -> dict[str, Any]:
    """What can be said of a run that left no record."""
    commit, clean = provenance.commit()
    told = {"name": name, "complete": False, "commit": commit, "clean": clean, "seed": settings.seed}
    told |= {"profile": settings.profile, "overrides": list(settings.overrides)}
    return told | {"parameters": profiles.to_dict(settings)}


def papermill_notebook(path: Path, output: Path, settings: Settings, staging: Path, options: Options) -> str:
    """Execute a notebook; returns what ended the run before its time, "" where the notebook itself tells.

    It works in the caller's folder, so that a relative path means the same to `run` and to `compute`.

    Raises
    ------
    UserError
        The staging folder cannot be written, or the kernel does not start.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from zmq import ZMQError

    log = staging.parents[1] / f"{output.stem}.log"
    try:
        with _log(log) as kernel_noise:
            papermill.execute_notebook(
                path,
                output,
                parameters={"profile": settings.argument, "seed": settings.seed, "overrides": list(settings.overrides)},
                kernel_name="python3",
                language="python",
                cwd=os.getcwd(),
                progress_bar=sys.stderr.isatty(),
                execution_timeout=options.timeout,
                kernel_manager_class=_kernel(staging, _environment(staging, log, options), kernel_noise),
            )
    except papermill.PapermillExecutionError:
        return ""  # the notebook tells it better
    except CellTimeoutError:
        return f"a cell took longer than {options.timeout} s"
    except OSError as error:
        raise UserError(f"cannot write {output.parent} ({error.strerror}): mend it and run again") from None
    except DeadKernelError:
        return "the kernel died (killed, or out of memory)"
    except (RuntimeError, ZMQError) as error:
        raised = re.findall(r"^[\w.]+Error: .*", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        raise UserError(f"no kernel starts here ({(raised or [reason(error)])[-1]}): see {log}") from None
    return ""


def _environment(staging: Path, log: Path, options: Options) -> dict[str, str]:
    """The kernel's environment, without the user's own IPython; PYTHONPATH is as it was: the package is installed."""
    ours = {"DFNAS_STAGING": str(staging), "DFNAS_LOG": str(log), "DFNAS_RUNS": str(paths.runs())}
    ours |= {"IPYTHONDIR": str(staging / "ipython"), "PYTHONSTARTUP": "", "MPLBACKEND": ""}
    if options.device:
        ours["DFNAS_DEVICE"] = options.device
    if options.force:
        ours["DFNAS_FORCE"] = "1"
    return {**os.environ, **ours}


def _kernel(staging: Path, environment: dict[str, str], noise: Any) -> type:
    """A kernel manager that runs this very interpreter, whatever kernels are installed; its stderr goes to the log."""
    from jupyter_client import AsyncKernelManager
    from traitlets import Unicode

    class Kernel(AsyncKernelManager):
        connection_file = Unicode(str(staging / "kernel.json"))

        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file, "--log-level=ERROR"]
            return command + (extra_arguments or [])

        async def _async_start_kernel(self, **options: Any) -> None:
            try:
                await super()._async_start_kernel(**{**options, "env": environment, "stderr": noise})
            except OSError as error:
                raise RuntimeError(reason(error)) from None

        start_kernel = _async_start_kernel

    return Kernel


@contextmanager
def _log(path: Path) -> Iterator[Any]:
    """A fresh log that kernel and papermill write to, and progress bars append to."""
    path.unlink(missing_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        logging.getLogger("papermill").addHandler(handler)
        try:
            yield file
        finally:
            logging.getLogger("papermill").removeHandler(handler)


@contextmanager
def staging_folder(folder: Path, name: str) -> Iterator[Path]:
    """A folder for one run, which is gone afterwards; those of killed runs on this machine are swept first."""
    parent = paths.make_folder(folder / ".running")
    host = socket.gethostname()
    for orphan in parent.glob(f"{name}@{host}@*"):
        if not _alive(int(orphan.name.rpartition("@")[2])):
            shutil.rmtree(orphan, ignore_errors=True)
    staging = paths.make_folder(parent / f"{name}@{host}@{os.getpid()}")
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def is_running(folder: Path, name: str) -> bool:
    """Whether a runner on this machine is at work on a notebook of this run folder."""
    folders = (folder / ".running").glob(f"{name}@{socket.gethostname()}@*")
    return any(_alive(int(path.name.rpartition("@")[2])) for path in folders)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # someone else's, so alive
    return True
