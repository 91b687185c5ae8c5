"""Sets of image files, to be read as a user's."""

import zipfile
from pathlib import Path


def write(where: Path, files: dict[str, bytes]) -> Path:
    """Files as a folder, or as a zip where the name says so; a name that ends in a slash is an empty folder."""
    if where.suffix == ".zip":
        with zipfile.ZipFile(where, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return where
    for name, content in files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (where / name).mkdir(exist_ok=True)
        else:
            (where / name).write_bytes(content)
    return where
