"""Students beside their teacher: how often both give the same answer."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

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
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(loc="outside lower center", ncols=2)
    return figure
