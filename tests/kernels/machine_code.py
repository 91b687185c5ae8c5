"""Compiles kernels for GPUs that are not there: `python machine_code.py CASE...` prints a JSON row for each kernel.

A case calls a public function on meta tensors, which have a shape and no memory; the launches on the way are compiled
as Triton would specialise them, and the machine code is read: registers, spills, shared memory, width of the accesses.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cases
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import create_function_from_signature

from dfnas.kernels import dispatch

ARCHITECTURES = (80, 90)  # A100, H100
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
ACCESS = re.compile(r"\b(LDG|STG|LDL|STL)\b([.\w]*)")


def compile_for(architecture: int, kernel: Any, arguments: tuple, constants: dict[str, Any]) -> Any:
    """What a launch would compile, for a device that need not be there."""
    target = GPUTarget("cuda", architecture, 32)
    backend = make_backend(target)
    binder = create_function_from_signature(kernel.signature, kernel.params, backend)
    bound, specialisation, options = binder(*arguments, **constants)
    options, signature, constexprs, attributes = kernel._pack_args(backend, constants, bound, specialisation, options)
    source = ASTSource(kernel, signature, constexprs, attributes)
    return triton.compile(source, target=target, options=options.__dict__)


def read(compiled: Any, accesses: bool) -> dict[str, Any]:
    """Registers a thread, bytes of stack and spills a thread, bytes of shared memory.

    With `accesses` (which takes disassembling) also the bits of each load from and store to global memory.
    """
    options = ["-res-usage", "-sass"] if accesses else ["-res-usage"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [TOOLS / "cuobjdump", *options, file.name]
        code = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    row: dict[str, Any] = {
        name.lower(): int(re.search(rf"\b{name}:(\d+)", code)[1]) for name in ("REG", "STACK", "LOCAL")
    }
    row["shared"] = compiled.metadata.shared
    for name, suffixes in ACCESS.findall(code):
        width = re.search(r"\.(U8|S8|U16|S16|64|128)\b", suffixes)
        row.setdefault(name, []).append(int(width[1].strip("US")) if width else 32)
    return row


def launches(case: str) -> list[tuple[Any, tuple, dict[str, Any]]]:
    """The launches of a case, in order."""
    found = []
    original = dispatch.execute
    dispatch.execute = lambda kernel, grid, arguments, constants: found.append((kernel, arguments, constants))
    try:
        cases.CASES[case]()
    finally:
        dispatch.execute = original
    return found


def rows(names: list[str]) -> list[dict[str, Any]]:
    """A row for each kernel of each case, but one for kernels that differ from an earlier one in their sizes alone."""
    found, seen = [], set()
    for case in names:
        for kernel, arguments, constants in launches(case):
            kinds = [getattr(argument, "dtype", type(argument).__name__) for argument in arguments]
            signature = kernel.fn.__module__, kernel.__name__, str(kinds), str(constants)
            if signature in seen and case not in cases.NARROW:
                continue
            seen.add(signature)
            for architecture in ARCHITECTURES:
                compiled = compile_for(architecture, kernel, arguments, constants)
                row = read(compiled, kernel.__name__ in cases.WIDE.get(case.split()[0], ()))
                found.append({"case": case, "kernel": kernel.__name__, "architecture": architecture, **row})
    return found


if __name__ == "__main__":
    os.environ["DFNAS_KERNELS"] = "triton"
    print(json.dumps(rows(sys.argv[1:] or list(cases.CASES))))
