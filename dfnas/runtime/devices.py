"""Where and in what precision to compute: one answer for every module."""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import torch
from torch import nn

from dfnas.errors import UserError, note, reason
from dfnas.profiles import RunSettings
from dfnas.runtime import stages


def device(run: RunSettings) -> torch.device:
    """The device of `run.device`: auto takes a GPU where there is one.

    Raises
    ------
    UserError
        Asked for cuda where there is none.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda was asked for, and torch sees no GPU here: take auto or cpu")
    return torch.device("cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu")


def bf16(run: RunSettings, network: nn.Module | None = None) -> bool:
    """Whether a network's convolutions run in bf16: by default where the processor multiplies in it, and that pays.

    On a CPU it does not pay for networks with depthwise convolutions, which do little else than move memory: casts
    around them cost more than the products of the others gain.
    """
    if run.precision == "auto":
        if device(run).type == "cuda":
            return torch.cuda.is_bf16_supported()
        multiplies = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        return multiplies and not (network is not None and _depthwise(network))
    return run.precision == "bf16"


def _depthwise(network: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1 for layer in network.modules())


def autocast(run: RunSettings, network: nn.Module | None = None) -> AbstractContextManager:
    """The autocast context of `run` in which a network is computed."""
    low = bf16(run, network)
    stages.note_precision("bf16" if low else "fp32")
    return torch.autocast(device(run).type, torch.bfloat16) if low else nullcontext()


@contextmanager
def full_precision(where: torch.device) -> Iterator[None]:
    """Inside, fp32 is fp32, for differences of what is almost equal: no autocast and, on a GPU, no TF32 either."""
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(where.type, enabled=False):
            stages.note_precision("fp32")
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


def compiled(function: Callable, run: RunSettings) -> Callable:
    """`function` under torch.compile where `run` asks for it and that works on this machine, else as it is.

    On a GPU the compiled program is captured and replayed as CUDA graphs, a launch for all kernels of the forward pass
    and one for those of the backward pass. What it returns is overwritten by its next call.
    """
    if not run.compile or not compiles(kind := device(run).type):
        return function
    # Programs are kept on disk by what they compute, but those with gradients of their own only where this is said: a
    # stage of synthesis then waits two seconds for its program instead of five.
    with suppress(AttributeError):  # of another torch
        torch._functorch.config.autograd_cache_allow_custom_autograd_functions = True
    # A program for each resolution stage and kind of target, and for each variant of a chapter: more than the eight
    # after which torch would go on in eager mode, with a warning in the notebook.
    mode = "default" if kind == "cpu" else "reduce-overhead"
    return torch.compile(function, mode=mode, dynamic=False, recompile_limit=64)  # type: ignore[call-overload]


@functools.cache
def compiles(kind: str) -> bool:
    """Whether torch.compile works on a kind of device: it is tried once, on next to nothing, and a note says why not.

    A compiler that is there may be of no use: without Python's headers, or with a space in its cache's path.
    """
    try:
        with torch.enable_grad():
            x = torch.ones(8, device=kind, requires_grad=True)
            torch.compile(lambda x: x.sin().sum(), dynamic=False)(x).backward()
    except Exception as error:  # whatever compilers and torch raise
        said = re.search(r"(fatal )?error: .*", str(error))
        note(f"torch.compile does not work here ({said[0] if said else reason(error)}): going on without it, slower")
        return False
    return True


def place(network: nn.Module, where: torch.device) -> nn.Module:
    """The network on a device, its 4-d weights in channels_last, which convolutions prefer."""
    return network.to(where).to(memory_format=torch.channels_last)
