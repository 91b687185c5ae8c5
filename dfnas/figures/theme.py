"""The look of the book's figures: size, type, colours, and the pieces that several plots share.

Figures are made without pyplot, so that nothing is global and a notebook shows each figure once. They are
sized to be read on a phone: narrow, with large type. Colours are seaborn's colour-blind palette, never the
only difference.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

WIDTH = 5.2  # inches; at a phone's 350 pixels a point of type is then about a pixel
# seaborn's, without seaborn: it takes a second, which a notebook's first cell need not wait for.
_COLOURS = "#0173b2 #de8f05 #029e73 #d55e00 #cc78bc #ca9161 #fbafe4 #949494 #ece133 #56b4e9"
PALETTE: list[tuple[float, float, float]] = [to_rgb(colour) for colour in _COLOURS.split()]
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":")
DENSE = 300  # more dots than these are drawn as pixels, so that a page stays small
SEQUENTIAL, DIVERGING = "cividis", "PuOr"
ACCURACY = "accuracy on real test images"  # what figures of networks show where they are not told otherwise
REFERENCE: dict[str, Any] = {"color": "0.35", "linewidth": 1.0, "linestyle": (0, (4, 3))}

_TYPE = {"font.size": 11, "axes.titlesize": 11, "axes.labelsize": 11, "legend.fontsize": 10}
_LINES = {"xtick.labelsize": 10, "ytick.labelsize": 10, "axes.edgecolor": "0.4", "grid.color": "0.9"}

Parameters = ParamSpec("Parameters")


def percent(share: float, _position: float = 0.0) -> str:
    """The label of a tick at a share, with the digits that it has: 0.5 is 50%, 0.545 is 54.5%."""
    return f"{100 * share:.4g}%"


def themed(plot: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Let `plot` run under seaborn's theme, and leave matplotlib's settings as they were."""

    @functools.wraps(plot)
    def wrapper(*arguments: Parameters.args, **options: Parameters.kwargs) -> Figure:
        import seaborn

        with matplotlib.rc_context():
            style = {**_TYPE, **_LINES, "legend.frameon": False}
            # colour codes are left alone: setting them would outlive the context
            seaborn.set_theme(style="whitegrid", palette="colorblind", color_codes=False, rc=style)
            return plot(*arguments, **options)

    return wrapper


def panels(rows: int = 1, columns: int = 1, height: float = 3.2, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of the book's width and its axes, row by row."""
    figure = Figure(figsize=(WIDTH, height), dpi=150, layout="constrained")  # the resolution of what is rasterised
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def columns_of(history: Any) -> dict[str, np.ndarray]:
    """A history as columns, from columns or from rows; a value that a row lacks becomes NaN."""
    if isinstance(history, Mapping):
        return {name: np.asarray(values, dtype=float) for name, values in history.items()}
    names = dict.fromkeys(name for row in history for name in row)
    return {name: np.array([row.get(name, math.nan) for row in history], dtype=float) for name in names}


def position_of(columns: Mapping[str, np.ndarray]) -> str:
    """The name of the column that counts time.

    Raises ValueError where there is none.
    """
    for name in ("epoch", "step", "iteration"):
        if name in columns:
            return name
    raise ValueError(f"a history needs a column 'epoch', 'step' or 'iteration'; it has {sorted(columns)}")


def line(axes: Axes, x: Any, y: Any, number: int, label: str, **options: Any) -> None:
    """The `number`-th curve of a plot: its own colour, dashes and marks; NaN is skipped, not a gap."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = ~np.isnan(y)
    look: dict[str, Any] = {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}
    if known.sum() <= 15:  # few points are shown one by one; a single one would else be invisible
        look |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
    look |= options
    axes.plot(x[known], y[known], label=label.replace("_", " "), **look)


def stage_boundaries(axes: Axes, boundaries: Sequence[float], names: Sequence[str] = ()) -> None:
    """Vertical lines where resolution stages end, and the stages' names, one more than there are lines."""
    for boundary in boundaries:
        axes.axvline(boundary, **REFERENCE)
    for start, name in zip([axes.get_xlim()[0], *boundaries], names, strict=False):
        top = axes.get_xaxis_transform()
        axes.text(start, 1.01, f" {name}", transform=top, fontsize=9, color="0.25", va="bottom")
