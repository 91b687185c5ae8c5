"""From a profile's name, a seed and overrides to Settings; every mistake is one line."""

import ast
import dataclasses
import difflib
import hashlib
import importlib
import json
import os
import typing
from collections.abc import Sequence
from typing import Any

from dfnas.errors import UserError
from dfnas.profiles.settings import CHAPTERS, Settings

NAMES = ("smoke", "quick", "laptop", "paper-cifar10", "paper-imagenet")


def load(profile: str, seed: int = 0, overrides: Sequence[str] = (), device: str | None = None) -> Settings:
    """The settings of a profile with overrides of the form "stage.field=value" ("stage.part.field=value").

    They are of a run on the device that is asked for (auto | cpu | cuda; else $DFNAS_DEVICE, else the profile's).

    Raises
    ------
    UserError
        Unknown profile, stage or field, a value of the wrong type, a seed that is no whole number.
    """
    if profile not in NAMES:
        raise UserError(f"no profile {profile!r}{_guess(str(profile), NAMES)}; there are {', '.join(NAMES)}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be a whole number from 0 up, not {seed!r}")
    if isinstance(overrides, str) or not all(isinstance(item, str) for item in overrides):
        raise UserError(f'overrides must be a list of "stage.field=value", not {overrides!r}')
    module = importlib.import_module(f"dfnas.profiles.{profile.replace('-', '_')}")
    settings: Settings = dataclasses.replace(module.SETTINGS, seed=seed, overrides=tuple(overrides))
    for override in overrides:
        settings = _override(settings, override)
    device = device or os.environ.get("DFNAS_DEVICE")
    if not device:
        return settings
    # Not an override: where something ran does not change which run it is.
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, device=device))


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
    if not equals or len(path) < 2:
        raise UserError(f'cannot read override {override!r}: write "stage.field=value", as in synthesis.images=500')
    return _replace(settings, path, text.strip(), override)


def _replace(part: Any, path: list[str], text: str, override: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(part)}
    stages = [name for name in fields if dataclasses.is_dataclass(getattr(part, name))]
    known = stages if isinstance(part, Settings) else list(fields)
    if path[0] not in known:
        raise UserError(f"override {override!r}: no {path[0]!r}{_guess(path[0], known)}; there are {', '.join(known)}")
    old = getattr(part, path[0])
    if dataclasses.is_dataclass(old):
        if len(path) == 1:
            raise UserError(f"override {override!r}: {path[0]} has fields of its own: name one")
        return dataclasses.replace(part, **{path[0]: _replace(old, path[1:], text, override)})
    if len(path) > 1:
        raise UserError(f"override {override!r}: {path[0]} has no fields of its own")
    kind = typing.get_type_hints(type(part))[path[0]]
    return dataclasses.replace(part, **{path[0]: _parse(text, kind, override)})


def _parse(text: str, kind: Any, override: str) -> Any:
    if kind is str:
        return text.strip("\"'")
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        value = text
    if _fits(value, kind):
        return _cast(value, kind)
    name = getattr(kind, "__name__", str(kind)) if typing.get_origin(kind) is None else str(kind)
    raise UserError(f"override {override!r}: {text!r} is not of type {name}")


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


def _guess(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
