"""Files that are written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from dfnas.errors import UserError
from dfnas.runtime import paths


def write_json(path: Path, value: Any) -> None:
    """Write a record as JSON, under a temporary name first.

    Raises
    ------
    UserError
        The disk is full or the folder cannot be written.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    paths.make_folder(path.parent)
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror}): mend it and run again") from None
