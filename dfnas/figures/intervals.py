"""The claims of the book: how far the estimates behind them are from their limits."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from dfnas.figures import theme


class Row(NamedTuple):
    """A claim's estimate less its limit, with the ends of its interval (nan: none), and the claim's state."""

    name: str
    value: float
    low: float
    high: float
    state: str


@theme.themed
def estimates(rows: Sequence[Row], unit: str = "percentage points") -> Figure:
    """Each claim's estimate less its limit with its interval, one row a claim; near zero linear, else logarithmic.

    The mark and the colour of a row are those of its state.
    """
    figure, (axes,) = theme.panels(height=0.4 * max(1, len(rows)) + 1.6)
    known = list(dict.fromkeys(row.state for row in rows))
    for state in known:
        number = known.index(state)
        places = [place for place, row in enumerate(rows) if row.state == state]
        ordered = [rows[place] for place in places]
        axes.errorbar(
            [row.value for row in ordered],
            places,
            xerr=[
                [_length(row.value - row.low) for row in ordered],
                [_length(row.high - row.value) for row in ordered],
            ],
            linestyle="none",
            capsize=4,
            color=theme.PALETTE[number],
            marker=theme.MARKERS[number],
            label=state,
        )
    axes.axvline(0, **theme.REFERENCE)
    axes.set_xscale("symlog", linthresh=2, linscale=0.7)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set(xlabel=f"estimate less limit, {unit}", title="Estimates behind the claims")
    ticks = [-30, -8, -2, 0, 2, 8, 30]
    axes.set_xticks([tick for tick in ticks if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f}".replace("-", "\N{MINUS SIGN}") if value else "0")
    axes.minorticks_off()
    if rows:
        figure.legend(loc="outside lower center", ncols=3)
    else:
        axes.text(0.5, 0.5, "no claim was run", transform=axes.transAxes, ha="center", va="center")
    return figure


def _length(value: float) -> float:
    return 0.0 if math.isnan(value) else value
