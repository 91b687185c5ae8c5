"""From a profile's name, a seed and overrides to Settings; every mistake is one line."""

import dataclasses
import functools
import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from dfnas.errors import UserError
from dfnas.profiles import profile_files, rules
from dfnas.profiles.kinds import PATH, check, guess, parse, read
from dfnas.profiles.settings import CHAPTERS, NEED_REAL, Settings

NAMES = ("smoke", "quick", "laptop", "paper-cifar10", "paper-imagenet")
Part = TypeVar("Part")


def load(profile: str, seed: int = 0, overrides: Sequence[str] = (), device: str | None = None) -> Settings:
    """The settings of a profile with overrides of the form "stage.field=value" ("stage.part.field=value").

    `profile` is a name, or a file of one's own (PATH.toml): a base, and what differs, as tables named as settings.
    They are of a run on the device that is asked for (auto | cpu | cuda; else $DFNAS_DEVICE, else the profile's).
    Relative paths, and the module of `teacher.builder`, are of the working folder, those of a profile file of its own;
    overrides keep them in full: a run is named by the file it takes, not by the folder it was called from.

    Raises
    ------
    UserError
        Unknown profile, stage or field, a value of the wrong type, that is none of the choices or out of range, fields
        that do not fit one another, a seed that is no whole number; of a file with the line that is wrong.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise UserError(f"seed must be a whole number from 0 up, of at most 32 bits, not {seed!r}")
    if isinstance(overrides, str) or not all(isinstance(item, str) for item in overrides):
        raise UserError(f'overrides must be a list of "stage.field=value", not {overrides!r}')
    settings = _from_file(Path(profile)) if profile_files.is_file(str(profile)) else _named(profile)
    _find_modules(Path.cwd())
    settings = dataclasses.replace(settings, seed=seed)
    for override in overrides:
        settings = _override(settings, override)
    rules.check(settings)
    if settings.data.name == "none":
        chapters = tuple(name for name in settings.chapters if name not in NEED_REAL)
        settings = dataclasses.replace(settings, chapters=chapters)
    device = device or os.environ.get("DFNAS_DEVICE")
    # Not an override: where something ran does not change which run it is.
    return variant(settings, run={"device": device}) if device else settings


def variant(base: Part, /, **changes: Any) -> Part:
    """A frozen dataclass that differs from `base` in the fields that are named, as a profile does from another.

    A dictionary changes fields of the part that is there: `variant(settings, synthesis={"images": 500})`. Any other
    value takes the field's place, lists as tuples: a part that `base` has as None is given whole, None drops a part.

    Raises
    ------
    UserError
        An unknown field, a value that the field cannot hold, fields of a part that is None; all by their path.
    """
    return _replace(base, changes, check)


def require_chapter(name: str, settings: Settings) -> None:
    """Raise UserError unless the profile has this chapter and its settings."""
    if name in settings.chapters:
        field = name[3:].replace("-", "_")
        if getattr(settings, field, settings) is None:
            raise UserError(f"profile {settings.profile} has no settings for {field}, which {name} needs")
        return
    if name in NEED_REAL and settings.data.name == "none":
        raise UserError(f"{name} needs real images, and data.name is none: name a data set with --set data.name=…")
    if name in CHAPTERS:
        have = ", ".join(settings.chapters)
        raise UserError(f"{name} is not in the paper: profile {settings.profile} has {have}")
    raise UserError(f"no chapter {name!r}; there are {', '.join(CHAPTERS)}")


def to_dict(settings: Any) -> dict[str, Any]:
    """Settings as a JSON-able dictionary."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def overrides_digest(overrides: Sequence[str]) -> str:
    """Eight hexadecimal digits that name a set of overrides, whatever their order."""
    return hashlib.sha256("\n".join(sorted(overrides)).encode()).hexdigest()[:8]


def _named(profile: str, field: str = "") -> Settings:
    """The settings of a profile of the book; `field` is the one that names it, for the message."""
    if profile not in NAMES:
        there = f"there are {', '.join(NAMES)}" + ("" if field else ", or a file of one's own: PATH.toml")
        raise UserError(f"{field}no profile {profile!r}{guess(str(profile), NAMES)}; {there}")
    return importlib.import_module(f"dfnas.profiles.{profile.replace('-', '_')}").SETTINGS


def _from_file(path: Path) -> Settings:
    """The settings of a profile file; its name is the file's with a digest of what differs from the base.

    Paths are relative to the file, and so are the modules of `teacher.builder`.
    """
    path = path.expanduser().absolute()
    text = profile_files.read(path)

    def problem(values: dict[str, Any]) -> str:
        try:
            _changed(values, path)
        except UserError as error:
            return str(error)
        return ""

    values = profile_files.parse(path, text)
    wrong = problem(values)
    if wrong:
        line = profile_files.first_line(text, lambda part: problem({"base": NAMES[0], **part}) == wrong) or 1
        raise UserError(f"{path.name}, line {line}: {wrong}")
    _find_modules(path.parent)
    settings, base = _changed(values, path), values["base"]
    before = _leaves(to_dict(_named(base)))
    differs = {name: value for name, value in _leaves(to_dict(settings)).items() if before.get(name) != value}
    digest = hashlib.sha256(json.dumps([base, differs], sort_keys=True).encode()).hexdigest()[:8]
    name = f"{re.sub(r'[^A-Za-z0-9_]+', '-', path.stem)}-{digest}"
    return dataclasses.replace(settings, profile=name, base=base, file=str(path))


def _changed(values: dict[str, Any], path: Path) -> Settings:
    """The base that a profile file names, with what the file gives."""
    changes = dict(values)
    base = changes.pop("base", None)
    if base is None:
        raise UserError(f'no base: begin with base = "laptop" (there are {", ".join(NAMES)})')
    settings = _named(base, "base: ")
    for name in changes:
        if name in ("profile", "base", "file", "seed", "overrides"):
            raise UserError(f"{name}: a profile has none: seed and overrides are of a run (--seed, --set)")

    def typed(value: Any, kind: Any, place: str) -> Any:
        if not value or PATH not in get_args(kind) or not isinstance(value, str):
            return read(value, kind, place)
        file = read(str(path.parent / Path(value).expanduser()), kind, place)
        if not os.path.exists(file):
            raise UserError(f"{place}: there is no {file}: paths are relative to the profile's file")
        return file

    settings = _replace(settings, changes, typed)
    rules.check(settings)
    for chapter in settings.chapters:
        require_chapter(chapter, _named(base))
    return settings


def _find_modules(folder: Path) -> None:
    """Let a builder's module be found that lies in a folder."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _leaves(part: dict[str, Any], place: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in part.items():
        found |= _leaves(value, f"{place}{name}.") if isinstance(value, dict) else {f"{place}{name}": value}
    return found


def _override(settings: Settings, override: str) -> Settings:
    name, equals, text = override.partition("=")
    path = name.strip().split(".")
    if not equals or len(path) < 2 or not override.isprintable():
        raise UserError(f'cannot read override {override!r}: write "stage.field=value", as in synthesis.images=500')
    changes: Any = text.strip()
    for field in reversed(path):
        changes = {field: changes}
    settings = _replace(settings, changes, parse)
    value = functools.reduce(getattr, path, settings)
    text = value if isinstance(value, str) else text.strip()  # a path is absolute from here on, whoever reads it again
    # The last of a field counts and is kept: a run is named by its overrides, in any order.
    name, kept = ".".join(path), dict(item.split("=", 1) for item in settings.overrides)
    rival = re.sub(r"\b(steps|epochs)$", lambda found: {"steps": "epochs"}.get(found[1], "steps"), name)
    if rival != name and rival in kept:
        raise UserError(f"{name} and {rival}: a training has one of them")
    return dataclasses.replace(settings, overrides=tuple(map("=".join, {**kept, name: text}.items())))


def _replace(part: Any, changes: dict[str, Any], read: Callable[[Any, Any, str], Any], place: str = "") -> Any:
    """The part, changed; `read` takes a value, the type of its field and its path to what the field then holds."""
    kinds = get_type_hints(type(part), include_extras=True)
    empty = {field.name for field in dataclasses.fields(part) if field.default is None}  # which may be None again
    values: dict[str, Any] = {}
    for name, value in changes.items():
        path, old = f"{place}{name}", getattr(part, name, None)
        if name not in kinds:
            known = [name for name, kind in kinds.items() if place or dataclasses.is_dataclass(kind)]
            raise UserError(f"{path}: no {name!r}{guess(name, known)}; there are {', '.join(known)}")
        if value is None and name in empty:
            values[name] = None
        elif not isinstance(value, dict):
            values[name] = read(value, kinds[name], path)
        elif dataclasses.is_dataclass(old):
            values[name] = _replace(old, value, read, f"{path}.")
        else:
            raise UserError(
                f"{path} has no fields of its own"
                if old is not None
                else f"{path} is None here: give it whole, or take another base"
            )
    # Steps would count otherwise.
    if values.get("epochs") and hasattr(part, "steps") and values.setdefault("steps", 0):
        raise UserError(f"{place}epochs and steps: a training has one of them")
    return dataclasses.replace(part, **values)
