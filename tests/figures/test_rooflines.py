"""Facts about the figures of costs: where roofs bend, what is measured, and what slopes are."""

import numpy as np
import pytest

from dfnas import figures
from dfnas.figures.rooflines import Machine, Point


def test_a_roof_is_the_bandwidth_below_its_ridge_and_the_peak_above():
    figure = figures.roofline(
        [Machine("here", "fp32", 1e11, 1e10, True), Machine("there", "bf16", 1e13, 1e12, False)], []
    )
    here, there = figure.axes[0].get_lines()
    for line, peak, bandwidth in ((here, 1e11, 1e10), (there, 1e13, 1e12)):
        x, y = line.get_data()
        assert y == pytest.approx(np.minimum(peak, bandwidth * x))
        assert y[0] == pytest.approx(0.1 * bandwidth)
        assert y[-1] == peak
    assert here.get_linestyle() == "-" != there.get_linestyle()
    assert [line.get_label() for line in (here, there)] == ["here, fp32 (measured)", "there, bf16 (data sheet)"]


def test_an_operation_is_marked_where_it_meets_the_roofs_of_its_type():
    machines = [Machine("here", kind, 1e11, 1e10, True) for kind in ("fp32", "bf16")]
    machines += [Machine("there", "fp32", 1e13, 1e12, False)]
    points = [Point("sum", "fp32", 0.5), Point("convolution", "fp32", 50.0), Point("convolution", "bf16", 5.0)]
    marks = figures.roofline(machines, points).axes[0].get_lines()[3:]
    assert [list(mark.get_ydata()) for mark in marks] == [[0.5e10, 0.5e12], [1e11, 1e13], [0.5e11]]


def test_ratios_span_smallest_to_largest():
    rows = [
        {"name": "darts_step_c8", "ratio": 3.0, "ratio_low": 2.5, "ratio_high": 4.0},
        {"name": "loader_image", "ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.6},
    ]
    axes = figures.ratios(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["darts step c8", "loader image"]
    ends = [segment[:, 0].tolist() for segment in axes.containers[0].lines[2][0].get_segments()]
    assert ends == [pytest.approx([2.5, 4.0]), pytest.approx([0.4, 0.6])]
    low, high = axes.get_xlim()
    assert low < 0.4
    assert high > 4.0


def test_growth_starts_at_one_and_is_drawn_relative_to_the_smallest():
    growth = {"name": "darts_step", "variable": "side", "sizes": [16, 32], "seconds": [0.5, 2.0], "slope": 2.0}
    axes = figures.growths([growth]).axes[0]
    line, linear, square = axes.get_lines()
    assert line.get_xydata().tolist() == [[1, 1], [2, 4]]
    assert line.get_label() == "darts: side (slope 2.00)"
    assert linear.get_ydata().tolist() == [1, 2]
    assert square.get_ydata().tolist() == [1, 4]


def test_what_was_not_measured_is_said():
    for figure, words in (
        (figures.ratios([]), "nothing was measured"),
        (figures.growths([]), "not measured in this run"),
    ):
        assert words in [text.get_text() for text in figure.axes[0].texts]
