"""Where things lie, whatever the working directory."""

import os
from pathlib import Path

from dfnas.errors import UserError
from dfnas.profiles import Settings, overrides_digest

BOOK = "laptop"  # the profile whose notebooks are the book
INSTALLED = Path(__file__).resolve().parents[1] / "sources"  # in a wheel: notebooks, benchmarks, the book's sources


def root() -> Path:
    """The folder of notebooks, benchmarks and the book's sources: the repository's, or of an installation its copy."""
    return INSTALLED if INSTALLED.is_dir() else INSTALLED.parents[1]


def runs() -> Path:
    """The folder of artefacts, executed notebooks and records: $DFNAS_RUNS, else runs/ in the repository, or here."""
    home = Path.cwd() if INSTALLED.is_dir() else root()
    return Path(os.path.expanduser(os.environ.get("DFNAS_RUNS") or home / "runs")).resolve()


def cache() -> Path:
    """Decoded data sets: a copy that can be thrown away at any time."""
    return runs() / "cache"


def run_folder(settings: Settings) -> Path:
    """runs/P, or runs/P-s1-<digest of overrides> where seed or overrides differ from the defaults."""
    name = settings.profile
    if settings.seed != 0 or settings.overrides:
        name += f"-s{settings.seed}"
    if settings.overrides:
        name += f"-{overrides_digest(settings.overrides)}"
    return runs() / name


def published(profile: str) -> Path:
    """The folder of a profile's published records; in the book's own profile's, its notebooks lie too."""
    folder = root() / "book" / "executed"
    return folder if profile == BOOK else folder / "records" / profile


def make_folder(folder: Path) -> Path:
    """Create a folder (and its parents).

    Raises
    ------
    UserError
        Where it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wrong = "" if os.access(folder, os.W_OK) else "read-only"
    except OSError as error:
        wrong = error.strerror or str(error)
    if wrong:
        name = "set DFNAS_RUNS to" if folder.absolute().is_relative_to(runs()) else "name"
        raise UserError(f"cannot write to {folder} ({wrong}): {name} a folder that can be written")
    return folder
