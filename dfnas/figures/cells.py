"""The cells of a DARTS genotype, drawn as wiring: a rail for each node, a row for each edge."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfnas.figures import theme

NODES = ("$c_{k-2}$", "$c_{k-1}$", "0", "1", "2", "3")
Edge = tuple[str, int]

# Of an operation: what its box says, and which colour of the palette it has.
LOOKS = {
    "max_pool_3x3": ("max 3x3", 1),
    "avg_pool_3x3": ("avg 3x3", 8),
    "skip_connect": ("skip", 7),
    "sep_conv_3x3": ("sep 3x3", 0),
    "sep_conv_5x5": ("sep 5x5", 2),
    "dil_conv_3x3": ("dil 3x3", 9),
    "dil_conv_5x5": ("dil 5x5", 4),
}


@theme.themed
def genotype(genotype: Any, title: str = "") -> Figure:
    """Both cells of a genotype: `normal` and `reduce`, each eight (operation, predecessor), two a node.

    A node is a vertical rail, named at its top; the inputs are the two on the left. An edge is a row: it starts at the
    dot on its predecessor's rail, passes through its operation and ends at the arrow on its node's rail. Rails that are
    crossed without a dot are not touched. The rails of the nodes 0 to 3 run down to the cell's output.
    """
    figure, axes = theme.panels(2, height=5.4)
    for panel, name, cell in zip(
        axes, ("normal cell", "reduction cell"), (genotype.normal, genotype.reduce), strict=True
    ):
        _cell(panel, cell)
        panel.set_title(f"{title}: {name}" if title else name.capitalize(), loc="left")
    return figure


def _cell(axes: Axes, edges: Sequence[Edge]) -> None:
    bottom = len(edges) + 0.25
    for rail, name in enumerate(NODES):
        first = 2 * (rail - 2) if rail >= 2 else 0  # the row in which the node's first edge arrives
        top = first - (0.45 if rail >= 2 else 0.8)
        axes.plot(
            [rail, rail], [top, bottom if rail >= 2 else _last(edges, rail)], color="0.55", linewidth=1.4, zorder=1
        )
        look = {"boxstyle": "round,pad=0.25", "facecolor": "0.2" if rail < 2 else "white", "edgecolor": "0.2"}
        axes.text(
            rail,
            top - 0.25,
            name,
            ha="center",
            va="center",
            fontsize=11 if rail < 2 else 9,  # subscripts are smaller than what they stand at
            bbox=look,
            color="white" if rail < 2 else "0.1",
        )
    for row, (operation, source) in enumerate(edges):
        _edge(axes, row, operation, source, 2 + row // 2)
    axes.plot([1.6, 5.4], [bottom, bottom], color="0.2", linewidth=5, solid_capstyle="round")
    axes.text(1.45, bottom, "$c_k$, stacked", ha="right", va="center", fontsize=10)
    axes.set(xlim=(-0.5, 5.5), ylim=(bottom + 0.35, -1.5))
    axes.set_axis_off()


def _last(edges: Sequence[Edge], rail: int) -> float:
    """The row of the last edge that leaves an input; its top where none does."""
    return max((row for row, (_, source) in enumerate(edges) if source == rail), default=-0.8)


def _edge(axes: Axes, row: int, operation: str, source: int, target: int) -> None:
    text, colour = LOOKS[operation]
    shade = theme.PALETTE[colour]
    axes.annotate(
        "",
        (target, row),
        (source, row),
        arrowprops={"arrowstyle": "-|>", "color": shade, "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0},
        zorder=2,
    )
    axes.plot([source], [row], "o", color=shade, markersize=6, zorder=3)
    # Always just before the node that it leads to: labels of one node stand above each other.
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": shade, "linewidth": 1.6}
    axes.text(target - 0.53, row, text, ha="center", va="center", fontsize=8.5, bbox=box, zorder=4)
