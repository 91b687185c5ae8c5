"""From a profile's name, a seed and overrides to Settings; every mistake is one line."""

import ast
import dataclasses
import difflib
import hashlib
import importlib
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dfnas.errors import UserError
from dfnas.profiles import profile_files
from dfnas.profiles.settings import CHAPTERS, DATA_SETS, NEED_REAL, Settings

NAMES = ("smoke", "quick", "laptop", "paper-cifar10", "paper-imagenet")
PATHS = ("teacher.path", "consistency.table", "proxylessnas.latency_table")  # settings that name files
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
        Unknown profile, stage, field or data set, a value of the wrong type, a seed that is no whole number; of a
        file with the line that is wrong.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be a whole number from 0 up, not {seed!r}")
    if isinstance(overrides, str) or not all(isinstance(item, str) for item in overrides):
        raise UserError(f'overrides must be a list of "stage.field=value", not {overrides!r}')
    settings = _from_file(Path(profile)) if profile_files.is_file(str(profile)) else _named(profile)
    overrides = tuple(map(_in_full, overrides))
    _find_modules(Path.cwd())
    settings = dataclasses.replace(settings, seed=seed, overrides=overrides)
    for override in overrides:
        settings = _override(settings, override)
    _check_whole(settings)
    if settings.data.name == "none":
        chapters = tuple(name for name in settings.chapters if name not in NEED_REAL)
        settings = dataclasses.replace(settings, chapters=chapters)
    device = device or os.environ.get("DFNAS_DEVICE")
    if not device:
        return settings
    # Not an override: where something ran does not change which run it is.
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, device=device))


def variant(base: Part, /, **changes: Any) -> Part:
    """A frozen dataclass that differs from `base` in the fields that are named, as a profile does from another.

    A dictionary changes fields of the part that is there: `variant(settings, synthesis={"images": 500})`. Any other
    value takes the field's place, lists as tuples: a part that `base` has as None is given whole, None drops a part.

    Raises
    ------
    UserError
        An unknown field, a value of the wrong type, fields of a part that is None; all by their path.
    """
    return _replace(base, changes, _check)


def require_chapter(name: str, settings: Settings) -> None:
    """Raise UserError unless the profile has this chapter."""
    if name in settings.chapters:
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
        raise UserError(f"{field}no profile {profile!r}{_guess(str(profile), NAMES)}; {there}")
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
        value = _cast(_check(value, kind, place), kind)
        if place not in PATHS or not value:
            return value
        file = path.parent / Path(value).expanduser()
        if not file.exists():
            raise UserError(f"{place}: there is no {file}: paths are relative to the profile's file")
        return os.path.normpath(file)

    settings = _replace(settings, changes, typed)
    _check_whole(settings)
    for chapter in settings.chapters:
        require_chapter(chapter, _named(base))
    return settings


def _check_whole(settings: Settings) -> None:
    """Refuse fields that do not fit one another."""
    if settings.data.name not in DATA_SETS:
        wrong, known = settings.data.name, ", ".join(DATA_SETS)
        raise UserError(f"data.name: no data set {wrong!r}{_guess(wrong, DATA_SETS)}; there are {known}")
    names, classes = len(settings.data.class_names), settings.data.classes
    if names not in (0, classes):
        raise UserError(f"data.class_names: {names} names, and data.classes is {classes}")
    if settings.teacher.builder and not settings.teacher.path:
        raise UserError(f"teacher.builder: {settings.teacher.builder} has no weights: give teacher.path too")


def _in_full(override: str) -> str:
    """An override, with the path of a file from the root on."""
    name, _, text = map(str.strip, override.partition("="))
    file = text.strip("\"'")
    return f"{name}={os.path.abspath(os.path.expanduser(file))}" if name in PATHS and file else override


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
    if not equals or len(path) < 2:
        raise UserError(f'cannot read override {override!r}: write "stage.field=value", as in synthesis.images=500')
    changes: Any = text.strip()
    for field in reversed(path):
        changes = {field: changes}
    return _replace(settings, changes, _parse)


def _replace(part: Any, changes: dict[str, Any], read: Callable[[Any, Any, str], Any], place: str = "") -> Any:
    """The part, changed; `read` takes a value, the type of its field and its path to what the field then holds."""
    kinds = typing.get_type_hints(type(part))
    empty = {field.name for field in dataclasses.fields(part) if field.default is None}  # which may be None again
    values: dict[str, Any] = {}
    for name, value in changes.items():
        path, old = f"{place}{name}", getattr(part, name, None)
        if name not in kinds:
            known = [name for name, kind in kinds.items() if place or dataclasses.is_dataclass(kind)]
            raise UserError(f"{path}: no {name!r}{_guess(name, known)}; there are {', '.join(known)}")
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
    return dataclasses.replace(part, **values)


def _parse(text: str, kind: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        raise UserError(f"{path} has fields of its own: name one")
    if kind is str:
        return text.strip("\"'")
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        value = text
    return _cast(_check(value, kind, path), kind)


def _check(value: Any, kind: Any, path: str) -> Any:
    if not _fits(value, kind):
        raise UserError(f"{path}: {value!r} is not of type {kind.__name__ if isinstance(kind, type) else kind}")
    return _tuples(value)


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if not isinstance(value, (tuple, list)):
            return False
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            return all(_fits(item, kinds[0]) for item in value)
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    return isinstance(value, kind)


def _cast(value: Any, kind: Any) -> Any:
    if kind is float:
        return float(value)
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(map(_cast, value, each))
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _guess(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
