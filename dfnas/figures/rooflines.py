"""What steps cost: the roofs of machines, ratios of two ways of doing the same, and how times grow."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dfnas.figures import theme

INTENSITIES = (0.1, 2000.0)  # FLOP a byte, the ends of the axis


class Machine(NamedTuple):
    """A machine's peaks in FLOP/s of one type of number and in bytes/s, measured or else from a data sheet."""

    name: str
    kind: str  # fp32 or bf16
    flops: float
    bandwidth: float
    measured: bool


class Point(NamedTuple):
    """An operation on numbers of one type, and its FLOP a byte."""

    name: str
    kind: str
    intensity: float


@theme.themed
def roofline(machines: Sequence[Machine], points: Sequence[Point]) -> Figure:
    """The most FLOP/s that a machine can reach at each FLOP a byte, and where operations meet these roofs.

    Measured roofs are solid, those from data sheets dashed and labelled so. An operation is marked on the roofs of its
    own type of number. A mark is a bound, not a measurement.
    """
    figure, (axes,) = theme.panels(height=6.2)
    x = np.geomspace(*INTENSITIES, 200)
    lines = []
    for number, machine in enumerate(machines):
        roof = np.minimum(machine.flops, machine.bandwidth * x)
        source = "measured" if machine.measured else "data sheet"
        look: dict[str, Any] = {"linestyle": "-" if machine.measured else theme.DASHES[1 + number % 3]}
        label = f"{machine.name}, {machine.kind} ({source})"
        lines += axes.plot(x, roof, color=_colour(number), linewidth=1.8, label=label, **look)
    marks = [_marks(axes, number, machines, point) for number, point in enumerate(points)]
    axes.set(xscale="log", yscale="log", xlim=INTENSITIES, xlabel="FLOP a byte", ylabel="FLOP a second, at most")
    axes.set_title("Roofs of machines")
    if lines:
        figure.legend(handles=lines, loc="outside upper center", ncols=2, fontsize=9)
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _colour(number: int) -> tuple[float, float, float]:
    return theme.PALETTE[number % len(theme.PALETTE)]


def _marks(axes: Axes, number: int, machines: Sequence[Machine], point: Point) -> Any:
    """One operation on every roof of its type."""
    fitting = [machine for machine in machines if machine.kind == point.kind]
    heights = [min(machine.flops, machine.bandwidth * point.intensity) for machine in fitting]
    look: dict[str, Any] = {"color": "0.15", "markersize": 6, "linestyle": "none"}
    look["markerfacecolor"] = "white" if point.kind == "fp32" else "0.15"
    marker = theme.MARKERS[number % len(theme.MARKERS)]
    return axes.plot(
        [point.intensity] * len(heights), heights, marker=marker, label=f"{point.name}, {point.kind}", zorder=4, **look
    )[0]


@theme.themed
def ratios(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """How many times less ours takes than the plain way, a row a benchmark: median, smallest and largest of its pairs.

    `rows` have name, ratio, ratio_low and ratio_high. At the line, 1, both take the same.
    """
    figure, (axes,) = theme.panels(height=0.4 * max(1, len(rows)) + 1.4)
    places = np.arange(len(rows))
    middle, low, high = (np.array([row[name] for row in rows], float) for name in ("ratio", "ratio_low", "ratio_high"))
    look: dict[str, Any] = {"fmt": "o", "color": theme.PALETTE[0], "capsize": 4, "markersize": 6}
    axes.errorbar(middle, places, xerr=[middle - low, high - middle], **look)
    axes.axvline(1, **theme.REFERENCE)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ends = [*low, *high, 1.0]
    axes.set_xlim(min(0.8, min(ends) * 0.8), max(2.5, max(ends) * 1.25))
    axes.set_yticks(places, [row["name"].replace("_", " ") for row in rows])
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set(ylabel="what is timed", xlabel="plain / ours (logarithmic)", title="Plain against ours")
    if not rows:
        axes.text(0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center", va="center")
    return figure


@theme.themed
def growths(growths: Sequence[Mapping[str, Any]]) -> Figure:
    """How the time of a piece of work grows with a size: both relative to the smallest, on logarithmic axes.

    `growths` have name, variable, sizes, seconds and slope. Lines in grey grow like the size and like its square.
    """
    figure, (axes,) = theme.panels(height=3.9)
    furthest = 2.0
    for number, growth in enumerate(growths):
        sizes, seconds = (np.asarray(growth[name], float) for name in ("sizes", "seconds"))
        furthest = max(furthest, sizes[-1] / sizes[0])
        work = growth["name"].removesuffix("_step").replace("_", " ")
        label = f"{work}: {growth['variable']} (slope {growth['slope']:.2f})"
        theme.line(axes, sizes / sizes[0], seconds / seconds[0], number, label)
    ends = np.array([1.0, furthest])
    for power, where in ((1, "size"), (2, "size squared")):
        axes.plot(ends, ends**power, **theme.REFERENCE)
        axes.annotate(where, (ends[1], ends[1] ** power), xytext=(-16, 0), textcoords="offset points", ha="right")
    axes.set(xscale="log", yscale="log", title="How steps grow")
    axes.margins(y=0.1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(2))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="size / smallest size", ylabel="seconds / those of the smallest")
    if growths:
        figure.legend(loc="outside lower center", ncols=2)
    else:
        axes.text(0.6, 0.1, "not measured in this run", transform=axes.transAxes, ha="center", va="center")
    return figure
