"""Independent pieces of work on several cores, each in a process of its own with one thread.

Small networks leave a second thread idle most of the time; two processes are both busy. What a piece computes depends
neither on how many processes there are nor on which one takes it.
"""

import contextlib
import functools
import multiprocessing
import operator
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import TypeVar

import torch

from dfnas.errors import UserError
from dfnas.profiles import RunSettings
from dfnas.runtime import devices, distributed, machine, memory, stages
from dfnas.runtime.progress import bar

MOST = 8  # processes where their number is left open: each may take a gigabyte or two

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Sequence[T], run: RunSettings) -> Iterator[R]:
    """`function(item)` for each item, in order; of several processes under torchrun, each takes a part of the items.

    With `run.processes` above 1 (0: a process a core, up to `MOST`) on a CPU, `function` and `item` must be picklable,
    and the processes start afresh: what was patched or cached here is unknown there. An error in one ends them all,
    and so does the end of this process.

    Raises
    ------
    UserError
        One of the processes ended before its time.
    """
    mine = items[distributed.rank() :: distributed.world()]
    count = min(_processes(run), len(mine))
    if count <= 1 and distributed.world() == 1:
        for item in mine:
            with _threads(run):
                result = function(item)
            yield result
    elif mine:
        # A process of torchrun has a child too: there, training does not average gradients with the others.
        start = functools.partial(_start, max(1, count), dict(os.environ))
        pool = ProcessPoolExecutor(max(1, count), _context(), initializer=start)
        with contextlib.ExitStack() as stack:
            stack.callback(pool.shutdown, cancel_futures=True)
            try:
                for result, precisions in pool.map(functools.partial(stages.heard, function), mine):
                    for precision in precisions:
                        stages.note_precision(precision)
                    yield result
            except BrokenProcessPool as error:
                raise UserError(
                    "a process ended before its work was done (killed, as where memory runs out, or see above): run "
                    "again with --set run.processes=1; finished work is kept"
                ) from error
    distributed.barrier()


def made(calls: Mapping[str, Callable[[], R]], run: RunSettings, name: str) -> dict[str, R]:
    """What calls that ask for stages return, by label; on a CPU several make their stages at a time, as by `each`.

    Parameters
    ----------
    calls : each asks for stages that the others do not need; picklable.
    name : what they are, for the progress bar.
    """
    left = [] if distributed.world() > 1 or _processes(run) == 1 else [*filter(stages.left, calls.values())]
    if len(left) > 1:
        for _ in bar(each(operator.call, left, run), total=len(left), desc=name, unit="stage"):
            pass
    # A forced stage is made anew here, by the process that remembers that it was, and with one thread like the others.
    with _threads(run):
        return {label: call() for label, call in calls.items()}


@contextlib.contextmanager
def _threads(run: RunSettings) -> Iterator[None]:
    """Inside, one thread where several processes have one each: what is computed does not depend on what is left."""
    count = torch.get_num_threads()
    if distributed.world() == 1 and _processes(run) > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _processes(run: RunSettings) -> int:
    if devices.device(run).type != "cpu":
        return 1
    return run.processes or min(MOST, max(1, machine.cores() // distributed.world()))


def _context() -> BaseContext:
    """Processes that are forked from a server which holds this process's imports: they start at once, not in seconds.

    A server lasts as long as this process. On macOS, where a fork is not safe behind some of the system's libraries,
    and on Windows, each process starts from nothing.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in sys.modules if name == "torch" or name.startswith("dfnas.")])
    return context


def _start(count: int, environment: Mapping[str, str]) -> None:
    os.environ.clear()  # a server's is that of its own start
    os.environ.update(environment)
    torch.set_num_threads(1)
    memory.keep()
    stages.share(count)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["DFNAS_LOG"] = os.devnull  # the bar is the parent's
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def _end_with_parent() -> None:
    """A killed parent sends no word; what waits for its next piece would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
