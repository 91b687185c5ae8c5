"""What stages leave behind, and which of them this process has asked for.

Nothing here needs torch: a record can be begun, and a page of records written, without it.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artefact:
    """The result of a stage: its folder, and what making it took (seconds over all sittings, peak memory in MB).

    `precision` is what its networks were computed in: fp32, bf16, both ("bf16, fp32"), or none ("").
    """

    name: str
    key: str
    folder: Path
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    threads: int = 0
    precision: str = ""


_used: ContextVar[tuple[Artefact, ...]] = ContextVar("used", default=())
_forced: ContextVar[bool] = ContextVar("forced", default=False)


def used() -> list[Artefact]:
    """Every artefact asked for since `reset`, in order."""
    return list(_used.get())


def note(artefact: Artefact) -> None:
    """Remember that an artefact was asked for."""
    _used.set((*_used.get(), artefact))


def reset() -> None:
    """Forget which artefacts were asked for."""
    _used.set(())


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Inside, nothing has been asked for yet; afterwards, what was before."""
    token = _used.set(())
    try:
        yield
    finally:
        _used.reset(token)


def force(on: bool = True) -> None:
    """Recompute each stage that is asked for from now on, once, even where its artefact is there."""
    _forced.set(on)


def forced() -> bool:
    """Whether stages are recomputed."""
    return _forced.get()
