"""What a field of the settings may hold: its type, its choices, its range; all else is refused in one line."""

import ast
import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from dfnas.errors import UserError


@dataclass(frozen=True)
class Rule:
    """What holds for the values of a field, beyond their type."""

    holds: Callable[[Any], bool]
    words: str


PATH = Rule(lambda text: "\0" not in text, "a path")  # relative to the folder in which settings are read, then absolute


def within(low: float, high: float) -> Rule:
    """Numbers from `low` to `high`, both ends included."""
    return Rule(lambda value: low <= value <= high, f"from {low:,.12g} to {high:,.12g}")


def parse(text: str, kind: Any, path: str) -> Any:
    """The value of a field that is written as text, as on the command line; raises UserError as `check` does."""
    if is_dataclass(kind):
        raise UserError(f"{path} has fields of its own: name one")
    if _plain(kind) is str:
        return check(text.strip("\"' "), kind, path)
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    return read(value, kind, path)


def read(value: Any, kind: Any, path: str) -> Any:
    """What `check` gives, whole numbers of a field of real ones as such; as a profile's own file has them."""
    return _cast(check(value, kind, path), kind)


def check(value: Any, kind: Any, path: str) -> Any:
    """A field's value, lists as tuples and paths absolute.

    Raises
    ------
    UserError
        A value of another type, none of the choices, or out of range; with the field's path.
    """
    if not _fits(value, kind):
        raise UserError(f"{path}: {value!r} is not of type {_words(kind)}")
    _refuse(value, kind, path)
    if value and PATH in get_args(kind):
        return os.path.abspath(os.path.expanduser(value))
    return _tuples(value)


def guess(name: str, known: Sequence[str]) -> str:
    """What was meant by a name that is not known."""
    close = difflib.get_close_matches(name.lower(), known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _refuse(value: Any, kind: Any, path: str) -> None:
    """Refuse what has the right type and is still no value of the kind, inside tuples too."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal and value not in arguments:
        raise UserError(f"{path}={value!r}{guess(value, arguments)}: there are {', '.join(arguments)}")
    if get_origin(kind) is Annotated:
        _refuse(value, arguments[0], path)
        for rule in arguments[1:]:
            if not rule.holds(value):
                raise UserError(f"{path}={value!r}: it must be {rule.words}")
    if get_origin(kind) is tuple:
        for item, each in zip(value, _each(value, kind)):
            _refuse(item, each, path)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        each = _each(value, kind) if isinstance(value, (tuple, list)) else None
        return each is not None and len(value) == len(each) and all(map(_fits, value, each))
    kind = _plain(kind)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def _plain(kind: Any) -> Any:
    """The type of an annotated kind or of a choice."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else str if get_origin(kind) is Literal else kind


def _each(value: Sequence[Any], kind: Any) -> tuple[Any, ...]:
    """The kinds of a tuple's items."""
    kinds = get_args(kind)
    return kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds


def _words(kind: Any) -> str:
    if get_origin(kind) is not tuple:
        return _plain(kind).__name__
    return f"tuple[{', '.join('...' if item is Ellipsis else _words(item) for item in get_args(kind))}]"


def _cast(value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        return tuple(map(_cast, value, _each(value, kind)))
    return float(value) if _plain(kind) is float else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value
