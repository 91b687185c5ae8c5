"""Stages: a piece of heavy work, done once, into a folder of its own.

A stage's key is the digest of its resolved settings, its inputs' keys, its version and the versions of torch and
numpy. Work happens in `<name>-<key>.partial`, which a killed run finds again, and is renamed when it is done.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy
import torch
from filelock import FileLock
from safetensors import SafetensorError

from dfnas.errors import UserError, reason
from dfnas.profiles import RunSettings
from dfnas.runtime import artefacts, distributed, machine, memory, paths
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json

_dry: ContextVar[bool] = ContextVar("dry", default=False)
_sharing: ContextVar[int] = ContextVar("sharing", default=1)
_current: ContextVar["_Sittings | None"] = ContextVar("current", default=None)
_heard: ContextVar[set[str] | None] = ContextVar("heard", default=None)
T = TypeVar("T")
R = TypeVar("R")
TOLERANCE = 1e-3  # of the largest answer: as far as processors differ, and less than any change of code makes


class Digest(str):
    """The digest of a network as an input of stages, with what the network answers to a probe.

    A digest cannot tell all that a network's code does. Artefacts hold the answers, and are not taken where the network
    of the same digest has come to answer otherwise.
    """

    answers: tuple[float, ...] = ()

    def __new__(cls, text: str, answers: Sequence[float] = ()) -> "Digest":
        digest = super().__new__(cls, text)
        digest.answers = tuple(float(f"{value:.6g}") for value in answers)
        return digest


def stage(
    name: str,
    function: Callable[[Path], None],
    settings: Any,
    inputs: Sequence[Artefact | str] = (),
    version: int = 1,
    run: RunSettings | None = None,
) -> Artefact:
    """Run `function(folder)` unless its artefact is there already, and return the artefact.

    Parameters
    ----------
    name : what it is, in a word or two; part of the folder's name.
    function : does the work into the folder it is given. What it finds there is its own earlier, unfinished work.
    settings : everything that the result depends on (dataclasses, dictionaries, plain values).
    inputs : artefacts, or digests of data, that the result depends on.
    version : raised by hand when a change of code changes results.
    run : of stages that compute networks: the precision that it asks for, as it stands there, is part of the key. What
        `auto` became on this machine is in stage.json alone.

    Raises
    ------
    UserError : where the folder cannot be written or the disk is full.
    """
    key = _key(name, settings, inputs, version, run)
    folder = paths.runs() / "stages" / f"{name}-{key[:12]}"
    if _dry.get():
        artefact = Artefact(name, key, folder)
    else:
        forced = artefacts.forced() and all(known.key != key for known in artefacts.used())
        if distributed.first(forced or not (folder / "stage.json").exists()):
            with _alone(folder):
                if forced and distributed.rank() == 0:
                    shutil.rmtree(folder.with_name(folder.name + ".partial"), ignore_errors=True)
                # Another run may have made it meanwhile.
                if distributed.first(forced or not (folder / "stage.json").exists()):
                    _work(name, key, folder, function, settings, inputs)
        artefact = _read(name, key, folder, inputs)
    artefacts.note(artefact)
    return artefact


@contextlib.contextmanager
def dry() -> Iterator[None]:
    """Inside, `stage` computes keys and runs nothing."""
    token = _dry.set(True)
    try:
        with artefacts.apart():
            yield
    finally:
        _dry.reset(token)


def keys(compute: Callable[[], Any]) -> dict[str, str]:
    """The keys of the stages that `compute` would ask for, by name, without running any."""
    with dry():
        compute()
        return {artefact.name: artefact.key for artefact in artefacts.used()}


def left(call: Callable[[], Any]) -> bool:
    """Whether a stage that `call` asks for is still to be made; no where stages are forced, or only named."""
    if _dry.get() or artefacts.forced():
        return False
    with dry():
        call()
        return not all((artefact.folder / "stage.json").exists() for artefact in artefacts.used())


def share(count: int) -> None:
    """In one of `count` processes that make stages at the same time: each counts its part of the seconds.

    What the machine needs is the memory of all of them, so each counts its own as often.
    """
    _sharing.set(count)


def digest(value: Any) -> str:
    """A stable digest of settings: dataclasses, dictionaries, sequences and plain values.

    Fields that hold their default are left out: a setting that is added later, and not used, changes no key.
    Who changes a default must therefore raise the VERSION of the stages that use it.
    """
    return hashlib.sha256(json.dumps(plain(value, defaults=False), sort_keys=True).encode()).hexdigest()


def without(part: Any, *names: str) -> dict[str, Any]:
    """A dataclass's fields but some, for a stage that does not depend on these: what is added later is in its key."""
    unknown = set(names) - {field.name for field in fields(part)}
    if unknown:
        raise ValueError(f"{type(part).__name__} has no {', '.join(sorted(unknown))}")
    return {name: value for name, value in vars(part).items() if name not in names}


def plain(value: Any, defaults: bool = True) -> Any:
    """A value as JSON has it; of dataclasses all fields, or those that are not at their default."""
    if is_dataclass(value) and not isinstance(value, type):
        values = {field.name: getattr(value, field.name) for field in fields(value)}
        if not defaults:
            values = {field.name: values[field.name] for field in fields(value) if values[field.name] != field.default}
        return plain(values, defaults)
    if isinstance(value, dict):
        return {str(name): plain(item, defaults) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, defaults) for item in value]
    return value


def _key(
    name: str, settings: Any, inputs: Sequence[Artefact | str], version: int, run: RunSettings | None = None
) -> str:
    sources = [item.key if isinstance(item, Artefact) else item for item in inputs]
    asked = [] if run is None or run.precision == RunSettings.precision else [run.precision]
    return digest([name, settings, sources, version, torch.__version__.split("+")[0], numpy.__version__, *asked])


def _alone(folder: Path) -> AbstractContextManager:
    """A lock on a stage: a second run waits, and then finds the work done. A killed process leaves none behind.

    Of the processes of one run, which work together, process 0 holds it.
    """
    if distributed.rank():
        return contextlib.nullcontext()
    locks = paths.make_folder(folder.parent / ".locks")
    return FileLock(locks / folder.name)


def _work(
    name: str, key: str, folder: Path, function: Callable[[Path], None], settings: Any, inputs: Sequence[Artefact | str]
) -> None:
    partial = paths.make_folder(folder.with_name(folder.name + ".partial"))
    distributed.barrier()
    own = distributed.own(partial)
    distributed.barrier()
    sittings = _Sittings(own / "sittings.json")
    token = _current.set(sittings)
    memory.keep()
    try:
        function(own)
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"stage {name} stopped ({why}): mend it and run again, finished work is kept") from error
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as error:
        wrong = f"stage {name} stopped: a file that it reads is damaged ({reason(error)})"
        raise UserError(f"{wrong}: run with --force, which makes those of the chapter anew") from error
    except (MemoryError, RuntimeError) as error:  # torch tells of a CPU's memory in its own words alone
        if isinstance(error, RuntimeError) and not re.search("allocate memory|out of memory", str(error)):
            raise
        raise UserError(f"stage {name} needs more memory than there is: take a smaller batch or network") from error
    finally:
        _current.reset(token)
        sittings.close()
    if distributed.rank():
        shutil.rmtree(own)
    else:
        for unfinished in partial.rglob("*.tmp"):  # of a write that a kill cut short
            unfinished.unlink()
        answers = {str(item): item.answers for item in inputs if isinstance(item, Digest)}
        facts = {"name": name, "key": key, "settings": plain(settings), **sittings.total(), **_machine()}
        facts |= {"answers": answers} if answers else {}
        write_json(partial / "stage.json", facts)
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run, kept until its successor was there
        os.replace(partial, folder)
    distributed.barrier()


def _read(name: str, key: str, folder: Path, inputs: Sequence[Artefact | str]) -> Artefact:
    """A finished stage; UserError where it says nothing of itself, or its network has answered otherwise then."""
    try:
        facts = json.loads((folder / "stage.json").read_bytes())
        took = float(facts["seconds"]), float(facts["peak_memory_mb"]), int(facts["threads"])
        answers = {str(item): tuple(map(float, then)) for item, then in facts.get("answers", {}).items()}
        if facts["key"] != key:
            raise ValueError("it is of another stage")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{folder / 'stage.json'} is damaged ({reason(error)}): delete its folder and run again"
        ) from None
    for item in inputs:
        then, now = answers.get(item, ()) if isinstance(item, str) else (), getattr(item, "answers", ())
        most = max(map(abs, then), default=0.0)
        if len(then) == len(now) and any(abs(a - b) > TOLERANCE * most for a, b in zip(then, now, strict=True)):
            raise UserError(
                f"{folder} was made by a network that answered otherwise, with the same weights: its code has changed; "
                "run with --force, or delete that folder"
            )
    return Artefact(name, key, folder, *took, str(facts.get("precision", "")))


class _Sittings:
    """Seconds, peak memory and precisions, added up over the sittings that a stage took."""

    def __init__(self, path: Path) -> None:
        memory.give_back()
        machine.forget_peak_memory()
        self.path = path
        self.start = time.perf_counter()
        self.before: dict[str, Any] = {"seconds": 0.0, "peak_memory_mb": 0.0}
        # There is none yet, or it is damaged: no more than times are lost.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            known = json.loads(path.read_bytes())
            self.before = {name: float(known[name]) for name in self.before} | {"precision": str(known["precision"])}
        self.precisions = set(filter(None, self.before.get("precision", "").split(", ")))

    def total(self) -> dict[str, Any]:
        return {
            "seconds": self.before["seconds"] + (time.perf_counter() - self.start) / _sharing.get(),
            "peak_memory_mb": max(self.before["peak_memory_mb"], machine.peak_memory_mb() * _sharing.get()),
            "precision": ", ".join(sorted(self.precisions)),
        }

    def close(self) -> None:
        # Where the disk is full the error that matters is already on its way.
        with contextlib.suppress(UserError):
            write_json(self.path, self.total())


def save_time() -> None:
    """Called beside each checkpoint, so that the seconds of a sitting that is killed count too."""
    sittings = _current.get(None)
    if sittings is not None:
        sittings.close()


def note_precision(precision: str) -> None:
    """Called where a network is computed: what `auto` became, and whatever else there was, is in stage.json."""
    sittings, heard = _current.get(), _heard.get()
    if sittings is not None:
        sittings.precisions.add(precision)
    if heard is not None:
        heard.add(precision)


def heard(function: Callable[[T], R], item: T) -> tuple[R, set[str]]:
    """`function(item)`, and the precisions noted meanwhile, for the stage of another process."""
    token = _heard.set(set())
    try:
        return function(item), _heard.get() or set()
    finally:
        _heard.reset(token)


def _machine() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
