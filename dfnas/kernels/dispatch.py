"""Which form computes an operation: the plain reference, a closed form in PyTorch, or Triton.

`DFNAS_KERNELS=auto` (the default) takes Triton on a GPU and what `ON_CPU` says elsewhere, `reference` takes plain
PyTorch with autograd's own gradients everywhere, `triton` insists on Triton (on a CPU: in its interpreter). The public
function of an operation asks `choose`, and nobody else does.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from dfnas.errors import UserError

try:
    import triton
    import triton.language as tl
except ImportError:  # a machine without Triton computes in PyTorch; the kernels are then never called
    triton, tl = None, SimpleNamespace(constexpr=object)

VARIABLE = "DFNAS_KERNELS"
MODES = ("auto", "reference", "triton")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PROGRAMS = 512  # of a reduction: about four for each multiprocessor of an A100 or H100, the same on every device
TILE = 2048  # values that a program holds at a time: sixteen for each of its 128 threads


# The form that a CPU takes: the faster one in the loop that uses it; where a step does not tell, that which was there.
# Ratios are seconds of a step with the reference over those with a closed form, timed in turn on one core with AVX-512,
# and sure to some 3 %: a step of synthesis (ResNet-20, 250 images), eager in fp32 and bf16, compiled in fp32 and bf16.
ON_CPU = {
    "batch norm": "closed",  # 1.80, 2.09, 1.01, 1.07
    "total variation": "reference",  # 1.01, 1.00, 0.55, 0.50
    "soft labels": "reference",  # 1.00, 1.02, 0.96, 1.02; a student's step has no more of them
    "mixed sum": "reference",  # in the plain DARTS supernet, eager: 1.00 with 8 channels, 1.03 and 1.04 with 16
    "image update": "closed",  # 1.00, 0.99, 0.99, 0.97, and 1.4 by itself
}


@dataclass(frozen=True)
class Traffic:
    """Bytes that the launches of one call read from memory and write to it, each address once a launch."""

    read: int
    written: int

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.read + other.read, self.written + other.written)

    @property
    def total(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


def jit(function: Any) -> Any:
    """`triton.jit`, or the function as it is where there is no Triton."""
    return function if triton is None else triton.jit(function)


def _constant(function: Any) -> Any:
    """What `torch.compiler.assume_constant_result` makes of a function, without the second that its import takes."""
    function._dynamo_marked_constant = True
    return function


@_constant
def interpreted() -> bool:
    """Whether the kernels of this process run in Triton's interpreter, which computes on a CPU."""
    return triton is not None and bool(triton.knobs.runtime.interpret)


@_constant
def mode() -> str:
    """What `DFNAS_KERNELS` asks for: auto, reference or triton.

    Raises
    ------
    UserError
        Another value, or triton where Triton is not installed.
    """
    chosen = os.environ.get(VARIABLE, "auto")
    if chosen not in MODES:
        raise UserError(f"{VARIABLE} is {chosen!r}; it may be {', '.join(MODES)}")
    if chosen == "triton" and triton is None:
        raise UserError(f"{VARIABLE} is triton, and Triton is not installed here: take auto or reference")
    return chosen


def choose(operation: str, *tensors: Tensor) -> str:
    """The form in which an operation of `ON_CPU` computes on these tensors: `reference`, `closed` or `triton`.

    Kernels take fp32, bf16 and fp16; other types and empty tensors take the form of a CPU.

    Raises
    ------
    UserError
        As `mode`; or Triton was asked for on a CPU, outside its interpreter.
    """
    chosen = mode()
    if chosen == "reference":
        return "reference"
    fitting = all(tensor.dtype in DTYPES and tensor.numel() for tensor in tensors)
    if chosen == "triton" and fitting:
        on_cpu = any(tensor.device.type == "cpu" for tensor in tensors)
        if on_cpu and not interpreted():
            raise UserError(f"{VARIABLE} is triton, and a tensor lies on the CPU: set TRITON_INTERPRET=1, or take auto")
        return "triton"
    on_gpu = triton is not None and all(tensor.is_cuda for tensor in tensors)
    return "triton" if on_gpu and fitting else ON_CPU[operation]


def operation(name: str, fake: Callable, changes: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
    """Makes a function that launches kernels one operation for torch.compile, which then need not look inside.

    `fake` has the same arguments, and gives tensors of the shapes, types and layouts of the results; `changes` names
    the arguments that are written to. Outside of torch.compile the function is called as it is.
    """

    def decorate(function: Callable) -> Callable:
        opaque = torch.library.custom_op(f"dfnas::{name}", function, mutates_args=changes)
        opaque.register_fake(fake)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return (opaque if torch.compiler.is_compiling() else function)(*arguments)

        return call

    return decorate


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the device of its first tensor: every launch of the package goes through here."""
    first = arguments[0][0] if isinstance(arguments[0], (tuple, list)) else arguments[0]
    if isinstance(first, Tensor) and first.is_cuda:
        with torch.cuda.device(first.device):
            execute(kernel, grid, arguments, constants)
    else:
        execute(kernel, grid, arguments, constants)


def execute(kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, Any]) -> None:
    """What `launch` does on the device; tests put themselves in its place."""
    kernel[grid](*arguments, **constants)


def power(number: int) -> int:
    """The least power of two that is not below a positive number."""
    return 1 << (number - 1).bit_length()


def blocks(number: int, size: int) -> int:
    """How many blocks of a size cover a number of things."""
    return -(-number // size)


def index_type(size: int) -> Any:
    """The type of indices into so many values: 64 bits take registers, and are taken where 32 do not do."""
    return tl.int64 if size > 2**30 else tl.int32


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type that sums are taken in: fp32, or fp64 for fp64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def dense(x: Tensor) -> Tensor:
    """An image batch [N, C, H, W] as it is where it is contiguous or channels_last, else a contiguous copy."""
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def channels_last(x: Tensor) -> bool:
    """Whether the channels of a dense [N, C, H, W] are what lies side by side in memory."""
    return not x.is_contiguous()


def like(x: Tensor, other: Tensor) -> Tensor:
    """`x` in the memory layout of a dense `other` [N, C, H, W]."""
    layout = torch.channels_last if channels_last(other) else torch.contiguous_format
    return x.contiguous(memory_format=layout)
