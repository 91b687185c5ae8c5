"""Files that are written whole or not at all: under a temporary name first, which then takes the file's place."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from dfnas.errors import UserError
from dfnas.runtime import paths


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` at the end; where the block fails nothing is left of it.

    Raises
    ------
    UserError
        The disk is full, the folder cannot be written, or the path is of something else than a file.
    """
    paths.make_folder(path.parent)
    if os.path.exists(path) and not os.path.isfile(path):  # as /dev/null, whose place nothing must take
        raise UserError(f"cannot write {path}: a folder or a device is there, name another file")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write {path} ({reason}): mend it and run again") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    write_text(path, json.dumps(value, indent=1))


def write_tensors(path: Path, tensors: Mapping[str, Any], facts: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, with facts about them as metadata."""
    from safetensors.torch import save_file  # imported late: it brings torch, which takes seconds

    with replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, facts)


def write_checkpoint(path: Path, content: Any) -> None:
    """Write what `torch.load(weights_only=True)` reads; through memory, as torch's own writer hides a full disk."""
    import torch  # imported late, likewise

    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
