"""A record's metrics: flat names, into which an Interval or a Summary goes whole and of which it comes out whole."""

from collections.abc import Mapping, Sequence
from typing import Any

from dfnas.runtime.statistics import Interval, Summary

SUFFIXES: dict[type, tuple[str, ...]] = {Interval: ("", "_low", "_high", "_freedom"), Summary: ("", "_std", "_n")}
MISSING = "\N{EN DASH}"  # what a record holds where the profile does not have a part of the chapter


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values under the names that prose quotes them by: an Interval as four, a Summary as three, all others as one."""
    return {
        name + suffix: part
        for name, value in values.items()
        for suffix, part in zip(SUFFIXES.get(type(value), ("",)), _parts(value), strict=True)
    }


def wholes(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What `flat` made flat: Intervals and Summaries under their names, and all other values as they are."""
    found: dict[str, Any] = {}
    parts = {
        name + part for kind in SUFFIXES for name in metrics for part in SUFFIXES[kind][1:] if _is(kind, metrics, name)
    }
    for name, value in metrics.items():
        if name not in parts:
            kind = next((kind for kind in SUFFIXES if _is(kind, metrics, name)), None)
            found[name] = (
                value if kind is None else (interval if kind is Interval else summary)({"metrics": metrics}, name)
            )
    return found


def _is(kind: type, metrics: Mapping[str, Any], name: str) -> bool:
    """Whether metrics hold a whole under a name; an older record's Interval has no degrees of freedom."""
    values = [metrics.get(name + part, MISSING) for part in SUFFIXES[kind][:3]]
    return not any(isinstance(value, str) for value in values)


def _parts(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Interval):
        return (*value, value.freedom)
    return value if type(value) in SUFFIXES else (value,)


def absent(kind: type) -> Any:
    """An Interval or a Summary of dashes: it keeps the names of one that the profile does not have."""
    return kind(*[MISSING] * len(SUFFIXES[kind]))


def interval(record: Mapping[str, Any], name: str) -> Interval:
    """The Interval that a record holds under a name; raises KeyError where it holds none, or a dash."""
    value, low, high = _whole(record, SUFFIXES[Interval][:3], name)
    return Interval(value, low, high, record["metrics"].get(f"{name}_freedom", 1.0))  # an older record: the fewest


def summary(record: Mapping[str, Any], name: str) -> Summary:
    """The Summary that a record holds under a name; raises KeyError where it holds none, or a dash."""
    return Summary(*_whole(record, SUFFIXES[Summary], name))


def number(record: Mapping[str, Any], name: str) -> float:
    """The number that a record holds under a name; raises KeyError where it holds none, or a dash."""
    return float(_whole(record, ("",), name)[0])


def _whole(record: Mapping[str, Any], suffixes: Sequence[str], name: str) -> list[Any]:
    parts = [record["metrics"][name + suffix] for suffix in suffixes]
    if any(isinstance(part, str) for part in parts):
        raise KeyError(name)
    return parts
