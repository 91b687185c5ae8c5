"""Arms of an experiment beside each other, with the spread over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy  # brings scipy.stats where it is first asked for, which takes half a second
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfnas.figures import theme


@theme.themed
def agreement_against_accuracy(
    students: Mapping[str, tuple[Sequence[float], Sequence[float]]], teacher: float
) -> Figure:
    """Agreement with the teacher over accuracy, a dot a student; in grey what no student of that accuracy can reach.

    `students` maps an arm to (accuracies, agreements), a value a seed; `teacher` is the teacher's accuracy t. An
    accuracy of a leaves agreements from max(0, a + t - 1) to 1 - |a - t|, whatever the student.
    """
    figure, (axes,) = theme.panels(height=4.6)
    grid = np.linspace(0, 1, 201)
    axes.fill_between(grid, 0, np.maximum(0, grid + teacher - 1), color="0.9", linewidth=0)
    axes.fill_between(grid, 1 - np.abs(grid - teacher), 1, color="0.9", linewidth=0)
    axes.axvline(teacher, **theme.REFERENCE)
    for number, (name, (accuracies, agreements)) in enumerate(students.items()):
        colour, marker = theme.PALETTE[number % len(theme.PALETTE)], theme.MARKERS[number % 8]
        label = name.replace("_", " ")
        axes.plot(accuracies, agreements, marker, color=colour, markersize=6, label=label)
    axes.set(xlabel="accuracy on real test images", ylabel="agreement with the teacher", xlim=(0, 1), ylim=(0, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(theme.percent)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@theme.themed
def arms(accuracies: Mapping[str, Sequence[float]], what: str = theme.ACCURACY) -> Figure:
    """Each arm's accuracies, a dot a seed, with their mean and its 95 % interval (Student's t over seeds)."""
    figure, (axes,) = theme.panels(height=0.42 * len(accuracies) + 1.2)
    for row, values in enumerate(accuracies.values()):
        _dots(axes, row, values)
    _name_rows(axes, list(accuracies))
    left, right = _frame(accuracies.values())
    # the interval of a few seeds can reach where no accuracy is
    axes.set(xlabel=what.split()[0], title=what[0].upper() + what[1:], xlim=(max(left, 0.0), min(right, 1.0)))
    axes.xaxis.set_major_formatter(theme.percent)
    return figure


@theme.themed
def arm_differences(accuracies: Mapping[str, Sequence[float]], reference: str) -> Figure:
    """Each arm minus the reference arm, in pairs, in percentage points; mean and its 95 % interval."""
    others = [name for name in accuracies if name != reference]
    figure, (axes,) = theme.panels(height=0.42 * len(others) + 1.2)
    base = np.asarray(accuracies[reference], dtype=float)
    differences = [100 * (np.asarray(accuracies[name], dtype=float) - base) for name in others]
    for row, values in enumerate(differences):
        _dots(axes, row, values)
    axes.axvline(0, **theme.REFERENCE)
    _name_rows(axes, others)
    frame = _frame([*differences, [0.0]])
    axes.set(xlabel="percentage points", title=f"Difference from the arm “{reference}”, in pairs", xlim=frame)
    return figure


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_ylabel("arm")


def _dots(axes: Axes, row: int, values: Any) -> None:
    values = np.asarray(values, dtype=float)
    axes.plot(values, np.full(len(values), row), "o", color=theme.PALETTE[0], alpha=0.45, markersize=5)
    middle, reach = float(values.mean()), interval(values)
    axes.errorbar(middle, row, xerr=reach, fmt="|", color="black", markersize=12, capsize=4, linewidth=1.5)


def _frame(rows: Iterable[Any]) -> tuple[float, float]:
    """Limits that hold all values, and the intervals of three or more: that of two leaves no room to see anything."""
    ends = []
    for row in rows:
        values = np.asarray(row, dtype=float)
        reach = interval(values) if len(values) > 2 else 0.0
        ends += [*values, values.mean() - reach, values.mean() + reach]
    margin = 0.05 * (max(ends) - min(ends)) or 0.01
    return min(ends) - margin, max(ends) + margin


def interval(values: Any) -> float:
    """Half the length of the 95 % interval of a mean, by Student's t; 0 where there is one value."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return 0.0
    return float(scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


@theme.themed
def accuracy_against_images(
    curves: Mapping[str, tuple[Sequence[int], Sequence[Sequence[float]]]], what: str = theme.ACCURACY
) -> Figure:
    """Accuracy over the number of training images, a curve a source of images.

    `curves` maps a name to (counts, accuracies), where accuracies holds, for each count, one number a seed.
    Bars are 95 % intervals of the mean.
    """
    figure, (axes,) = theme.panels(height=3.4)
    for number, (name, (counts, accuracies)) in enumerate(curves.items()):
        means = [float(np.mean(values)) for values in accuracies]
        colour, marker = theme.PALETTE[number % len(theme.PALETTE)], theme.MARKERS[number % 8]
        theme.line(axes, counts, means, number, name, marker=marker)
        reach = [interval(values) for values in accuracies]
        axes.errorbar(counts, means, yerr=reach, fmt="none", color=colour, capsize=3, linewidth=1.2)
    axes.set(xscale="log", xlabel="training images", ylabel=what)
    axes.yaxis.set_major_formatter(theme.percent)
    ticks = sorted({count for counts, _ in curves.values() for count in counts})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.legend()
    return figure
