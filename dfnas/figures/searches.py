"""What the chapters that search share: a search over its steps, and what it found beside random architectures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfnas.figures import theme


@theme.themed
def search_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """A supernet's accuracy on held-out images of its own source, and its loss, over the steps; a curve a source.

    `histories` maps a source to columns as `training.History` has them: `evaluated_step` with `validation_accuracy`
    and `step` with `loss`, the mean since the last read.
    """
    figure, (above, below) = theme.panels(2, height=4.8, sharex=True)
    for number, (name, history) in enumerate(histories.items()):
        theme.line(above, history["evaluated_step"], history["validation_accuracy"], number, name)
        theme.line(below, history["step"], history["loss"], number, name)
    above.set(ylabel="held-out accuracy", title="Supernets in training")
    above.yaxis.set_major_formatter(theme.percent)
    below.set(ylabel="training loss", xlabel="step")
    below.xaxis.set_major_locator(_ticks(integer=True))
    _legend_below(figure, above, 2)
    return figure


@theme.themed
def architecture_parameters(weights: Any, steps: Sequence[int], primitives: Sequence[str]) -> Figure:
    """The weight of each operation, the mean over a cell's edges, over the steps; a panel a kind of cell.

    `weights` [T, 2, edges, operations] is softmaxed: each edge's weights sum to one. `steps` are its T positions.
    """
    means = np.asarray(weights, dtype=float).mean(2)
    figure, axes = theme.panels(2, height=5.6, sharex=True, sharey=True)
    for kind, (panel, title) in enumerate(zip(axes, ("Normal cell", "Reduction cell"), strict=True)):
        panel.axhline(1 / len(primitives), **theme.REFERENCE)
        for number, name in enumerate(primitives):
            theme.line(panel, steps, means[:, kind, number], number, name, marker="")
        panel.set(title=title, ylabel="mean weight")
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(_ticks(integer=True))
    _legend_below(figure, axes[0], 3)
    return figure


@theme.themed
def entropy_and_skips(searches: Mapping[str, tuple[Sequence[int], Any, Any]], operations: int) -> Figure:
    """How undecided the edges are, above, and how much of them is skip connection, below, over the steps.

    `searches` maps a search to (steps, entropy in nats, weight of the skip connections), each [T]. Lines in grey: the
    values where all `operations` weigh the same.
    """
    figure, (above, below) = theme.panels(2, height=4.8, sharex=True)
    above.axhline(np.log(operations), **theme.REFERENCE)
    below.axhline(1 / operations, **theme.REFERENCE)
    for number, (name, (steps, entropies, skips)) in enumerate(searches.items()):
        theme.line(above, steps, entropies, number, name, marker="")
        theme.line(below, steps, skips, number, name, marker="")
    above.set(ylabel="entropy (nats)", title="Mean entropy of an edge")
    below.set(ylabel="weight", xlabel="step", title="Mean weight of the skip connection")
    below.xaxis.set_major_locator(_ticks(integer=True))
    _legend_below(figure, above, 2)
    return figure


@theme.themed
def accuracy_against_macs(arms: Mapping[str, Mapping[str, Sequence[Any]]], what: str = theme.ACCURACY) -> Figure:
    """Accuracy over multiply-adds: found architectures with mean and deviation over seeds, random ones as a cloud.

    `arms` is what `standings.results` gives: each arm's `accuracy` and `macs`, a value a training. The arm `random` has
    another architecture in each; its mean and one standard deviation either side are a band.
    """
    figure, (axes,) = theme.panels(height=4.0)
    if "random" in arms:
        accuracies, macs = _columns(arms["random"])
        spread = accuracies.std(ddof=1) if len(accuracies) > 1 else 0.0
        axes.axhspan(accuracies.mean() - spread, accuracies.mean() + spread, color="0.88", label="random, mean ± sd")
        axes.axhline(accuracies.mean(), **theme.REFERENCE)
        axes.plot(macs, accuracies, "x", color="0.35", label="random, each")
    for number, (name, arm) in enumerate((name, arm) for name, arm in arms.items() if name != "random"):
        _found(axes, *_columns(arm), number, name)
    axes.set(xlabel="multiply-adds (millions)", ylabel=what)
    axes.yaxis.set_major_formatter(theme.percent)
    axes.xaxis.set_major_locator(_ticks())
    _legend_below(figure, axes, 2)
    return figure


def _columns(arm: Mapping[str, Sequence[Any]]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(arm["accuracy"], dtype=float), np.asarray(arm["macs"], dtype=float) / 1e6


def _found(axes: Axes, accuracies: np.ndarray, macs: np.ndarray, number: int, name: str) -> None:
    colour, marker = theme.PALETTE[number % len(theme.PALETTE)], theme.MARKERS[number % 8]
    axes.plot(macs, accuracies, marker, color=colour, alpha=0.5, markersize=4)
    spread = accuracies.std(ddof=1) if len(accuracies) > 1 else 0.0
    look: dict[str, Any] = {"fmt": marker, "color": colour, "markersize": 7, "capsize": 4, "label": _spaced(name)}
    axes.errorbar(macs.mean(), accuracies.mean(), yerr=spread, **look)


def _ticks(**options: Any) -> MaxNLocator:
    return MaxNLocator(6, steps=[1, 2, 5, 10], **options)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for all panels, under them: on a phone there is no room beside."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
