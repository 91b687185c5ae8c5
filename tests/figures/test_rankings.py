"""Facts about the figures of rankings: what they draw, and where."""

import numpy as np
import pytest

from dfnas import figures

REAL = [0.5, 0.6, 0.7]


def test_a_dot_an_architecture_over_its_value_on_real_data():
    figure = figures.against_real(REAL, {"synthetic": [0.3, 0.2, 0.4], "noise": [0.1, 0.1, 0.1]})
    assert [panel.get_ylabel() for panel in figure.axes] == ["synthetic", "noise"]
    (dots,) = figure.axes[0].get_lines()
    assert np.allclose(dots.get_xydata(), [[0.5, 0.3], [0.6, 0.2], [0.7, 0.4]])
    low, high = figure.axes[1].get_ylim()
    assert (low, high) == pytest.approx((0.05, 0.15))  # values that are all equal get an axis all the same
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_coefficients_have_their_intervals():
    rows = {"synthetic": {"tau": (0.5, 0.2, 0.9), "pearson": (0.6, 0.4, 0.7)}, "noise": {"tau": (0.0, -0.3, 0.4)}}
    rows["noise"]["pearson"] = (0.1, 0.1, 0.1)
    (axes,) = figures.coefficients(rows).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["synthetic", "noise"]
    first, second = axes.containers
    assert first.lines[0].get_xdata().tolist() == [0.5, 0.0]
    (bars,) = first.lines[2]
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [
        pytest.approx([0.2, 0.9]),
        pytest.approx([-0.3, 0.4]),
    ]
    assert second.get_label() == "pearson"


def test_regrets_are_in_points_from_k_1_and_chance_is_among_them():
    (axes,) = figures.regrets({"synthetic": [0.02, 0.01, 0.0]}, [0.03, 0.02, 0.0]).axes
    curve, chance = axes.get_lines()
    assert curve.get_xdata().tolist() == [1, 2, 3]
    assert curve.get_ydata() == pytest.approx([2.0, 1.0, 0.0])
    assert chance.get_ydata() == pytest.approx([3.0, 2.0, 0.0])
    assert axes.get_ylim()[0] == 0


def test_judges_show_each_value_their_mean_and_its_interval():
    rows = {"supernets": {"synthetic": ([0.4, 0.6], (0.5, 0.3, 0.8)), "noise": ([0.0], (0.0, -0.2, 0.1))}}
    rows["searches"] = {"by lot": ([20.0, 30.0], (25.0, 5.0, 45.0))}
    (axes,) = figures.judges(rows, "points", "What they lose", wide=True).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["synthetic", "noise", "by lot"]
    dots = [line for line in axes.get_lines() if line.get_alpha() == 0.45]
    assert [line.get_xdata().tolist() for line in dots] == [[0.4, 0.6], [0.0], [20.0, 30.0]]
    means = [bar.lines[0].get_xdata()[0] for bar in axes.containers]
    assert means == [0.5, 0.0, 25.0]
    (reach,) = axes.containers[2].lines[2]
    assert reach.get_segments()[0][:, 0].tolist() == pytest.approx([5.0, 45.0])
    assert axes.get_xscale() == "symlog"
