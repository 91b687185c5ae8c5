"""From a profile's name, a seed and overrides to Settings; every mistake is one line."""

import dataclasses
import functools
import hashlib
import importlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_type_hints

from dfnas.errors import UserError
from dfnas.profiles import rules
from dfnas.profiles.kinds import check, guess, parse
from dfnas.profiles.settings import CHAPTERS, Settings

NAMES = ("smoke", "quick", "laptop", "paper-cifar10", "paper-imagenet")
Part = TypeVar("Part")


def load(profile: str, seed: int = 0, overrides: Sequence[str] = (), device: str | None = None) -> Settings:
    """The settings of a profile with overrides of the form "stage.field=value" ("stage.part.field=value").

    They are of a run on the device that is asked for (auto | cpu | cuda; else $DFNAS_DEVICE, else the profile's).

    Raises
    ------
    UserError
        Unknown profile, stage or field, a value of the wrong type, that is none of the choices or out of range, fields
        that do not fit one another, a seed that is no whole number.
    """
    if profile not in NAMES:
        raise UserError(f"no profile {profile!r}{guess(str(profile), NAMES)}; there are {', '.join(NAMES)}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be a whole number from 0 up, not {seed!r}")
    if isinstance(overrides, str) or not all(isinstance(item, str) for item in overrides):
        raise UserError(f'overrides must be a list of "stage.field=value", not {overrides!r}')
    module = importlib.import_module(f"dfnas.profiles.{profile.replace('-', '_')}")
    settings: Settings = dataclasses.replace(module.SETTINGS, seed=seed)
    for override in overrides:
        settings = _override(settings, override)
    if device := device or os.environ.get("DFNAS_DEVICE"):
        # Not an override: where something ran does not change which run it is.
        settings = variant(settings, run={"device": device})
    rules.check(settings)
    rules.check_synthesis(settings.synthesis, settings.data)
    return settings


def variant(base: Part, /, **changes: Any) -> Part:
    """A frozen dataclass that differs from `base` in the fields that are named, as a profile does from another.

    A dictionary changes fields of the part that is there: `variant(settings, synthesis={"images": 500})`. Any other
    value takes the field's place, lists as tuples: a part that `base` has as None is given whole, None drops a part.

    Raises
    ------
    UserError
        An unknown field, a value of the wrong type, fields of a part that is None; all by their path.
    """
    return _replace(base, changes, check)


def require_chapter(name: str, settings: Settings) -> None:
    """Raise UserError unless the profile has this chapter."""
    if name in settings.chapters:
        return
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
    return dataclasses.replace(settings, overrides=(*settings.overrides, f"{'.'.join(path)}={text}"))


def _replace(part: Any, changes: dict[str, Any], read: Callable[[Any, Any, str], Any], place: str = "") -> Any:
    """The part, changed; `read` takes a value, the type of its field and its path to what the field then holds."""
    kinds = get_type_hints(type(part), include_extras=True)
    empty = {field.name for field in dataclasses.fields(part) if field.default is None}  # which may be None again
    values: dict[str, Any] = {}
    for name, value in changes.items():
        path, old = f"{place}{name}", getattr(part, name, None)
        if name not in kinds:
            raise UserError(f"{path}: no {name!r}{guess(name, list(kinds))}; there are {', '.join(kinds)}")
        if value is None and name in empty:
            values[name] = None
        elif not isinstance(value, dict):
            values[name] = read(value, kinds[name], path)
        elif dataclasses.is_dataclass(old):
            values[name] = _replace(old, value, read, f"{path}.")
        else:
            raise UserError(
                f"{path} has no fields of its own" if old is not None else f"{path} is None here: give it whole"
            )
    return dataclasses.replace(part, **values)
