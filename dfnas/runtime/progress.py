"""Progress bars: in the terminal and in Jupyter, or in a log file under papermill."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(iterable: Iterable | None = None, total: int | None = None, desc: str = "", unit: str = "it") -> tqdm:
    """A tqdm bar that never lands in a saved notebook.

    With $DFNAS_LOG set (the batch runner sets it for its kernels) the bar is written to that file, a line every few
    seconds; otherwise to standard error, where it is one.
    """
    if os.environ.get("RANK", "0") != "0":  # torchrun: one bar is enough
        return tqdm(iterable, disable=True)
    options: dict[str, Any] = {"total": total, "desc": desc, "unit": unit, "dynamic_ncols": True}
    log = os.environ.get("DFNAS_LOG")
    if log:
        return tqdm(iterable, file=open(log, "a", encoding="utf-8"), mininterval=10, ascii=True, **options)
    if "ipykernel" in sys.modules:
        return _in_notebook(iterable, options)
    return tqdm(iterable, disable=not sys.stderr.isatty(), leave=False, **options)


def _in_notebook(iterable: Iterable | None, options: dict[str, Any]) -> tqdm:
    """In Jupyter a bar would be saved with the notebook: it goes to the terminal that started the kernel."""
    terminal = sys.__stderr__
    return tqdm(iterable, file=terminal, disable=terminal is None, leave=False, mininterval=1, **options)
