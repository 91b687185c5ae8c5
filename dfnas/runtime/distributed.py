"""Many processes under torchrun: which piece of work is whose, and how their results become one.

Every process walks through the same stages in the same order. Inside a stage, synthesis shares out batches through
locks on the disk (`share`), training averages gradients (`mean_`) of parts of one batch (`part`), and evolution
gathers scores (`gather`). With one process all of this does nothing.
"""

import contextlib
import datetime
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout
from torch import Tensor

from dfnas.errors import UserError

T = TypeVar("T")

GROUP = ("RANK", "WORLD_SIZE", "MASTER_PORT", "MASTER_ADDR")  # what torchrun tells each of its processes
WAIT = 0.2  # seconds between two looks at work that others have in hand
PATIENCE = datetime.timedelta(days=7)  # a process may wait for another's stage as long as the stage takes


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextlib.contextmanager
def session(device: str = "auto") -> Iterator[None]:
    """Joins the processes that torchrun started (gloo on CPUs, nccl on GPUs); nothing where it did not.

    Raises
    ------
    UserError
        More processes on this machine than GPUs, where GPUs are used; a group of processes that torchrun did not start.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    said = [os.environ.get(name, "") for name in GROUP]
    if not (all(map(str.isdecimal, said[:3])) and int(said[0]) < int(said[1]) and said[3]):
        words = ", ".join(map("=".join, zip(GROUP, said, strict=True)))
        raise UserError(f"no group of processes ({words}): start them with torchrun, or unset WORLD_SIZE")
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise UserError(f"torchrun started more processes than the {there} GPUs of this machine")
        torch.cuda.set_device(local)
    store, number, count = next(dist.rendezvous("env://", timeout=PATIENCE))
    # After a restart the store still holds the addresses of processes that are gone: each start has names of its own.
    store = dist.PrefixStore(f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    kind = "nccl" if gpu else "gloo"
    dist.init_process_group(kind, timeout=PATIENCE, store=store, rank=number, world_size=count)
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(items: Sequence[T], done: Callable[[T], bool], folder: Path) -> Iterator[T]:
    """The items that this process takes, one at a time, until all are done, whoever does them.

    Who is faster takes more. An item is locked while it is worked on; the lock of a process that was killed is free
    again, and another process takes the item up.

    Parameters
    ----------
    done : whether an item's result is on the disk.
    folder : one that all processes see; locks lie in it while work goes on.
    """
    if world() == 1:
        yield from (item for item in items if not done(item))
        return
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    first = rank() * len(items) // world()  # each starts elsewhere, so that they seldom meet
    order = [*range(first, len(items)), *range(first)]
    while rest := [index for index in order if not done(items[index])]:
        taken = False
        for index in rest:
            with contextlib.suppress(Timeout), FileLock(locks / str(index), timeout=0):
                if not done(items[index]):
                    taken = True
                    yield items[index]
        if not taken:
            time.sleep(WAIT)
    barrier()
    if rank() == 0:
        shutil.rmtree(locks, ignore_errors=True)


def part(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a batch that is this process's: N / world of the N images and of their targets.

    Raises
    ------
    UserError
        A batch that the number of processes does not divide.
    """
    if world() == 1:
        return inputs, targets
    if len(inputs) % world():
        raise UserError(f"{world()} processes cannot share a batch of {len(inputs)}: take a number that divides it")
    return inputs.chunk(world())[rank()], targets.chunk(world())[rank()]


@torch.no_grad()
def mean_(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, in one collective a data type."""
    if world() == 1 or not tensors:
        return
    for kind in dict.fromkeys(values.dtype for values in tensors):
        same = [values for values in tensors if values.dtype == kind]
        flat = torch.cat([values.reshape(-1) for values in same])
        dist.all_reduce(flat)
        flat /= world()
        for values, mean in zip(same, flat.split([values.numel() for values in same]), strict=True):
            values.copy_(mean.view(values.shape))


def gather(value: Any) -> list[Any]:
    """What every process has, in the order of their numbers."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def first(value: Any) -> Any:
    """What process 0 has."""
    if world() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def barrier() -> None:
    """Wait for all processes."""
    if world() > 1:
        dist.barrier()


def own(folder: Path) -> Path:
    """The folder that this process works in where process 0 works in `folder`: what others write there is dropped.

    It starts with what `folder` holds, so that all go on from the same checkpoint; shards are not copied, see `common`.
    """
    if rank() == 0:
        return folder
    mine = folder.with_name(f"{folder.name}.rank{rank()}")
    shutil.rmtree(mine, ignore_errors=True)
    return Path(shutil.copytree(folder, mine, ignore=shutil.ignore_patterns("round-*", ".locks")))


def common(folder: Path) -> Path:
    """Process 0's folder, from any process's own."""
    return folder.with_name(re.sub(r"\.rank\d+$", "", folder.name))
