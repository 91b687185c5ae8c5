"""Facts about the figures of the search chapters: what they draw, and where."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dfnas import figures
from dfnas.figures import theme

OPERATIONS = ["none", "skip", "conv"]
STEPS = [0, 10, 20]


def _history(shift: float = 0.0) -> dict[str, list[float]]:
    accuracies = [0.2 + shift, 0.5 + shift]
    return {"step": [20], "loss": [1.0 + shift], "evaluated_step": [10, 20], "validation_accuracy": accuracies}


def _arms() -> dict[str, dict[str, list[float]]]:
    found = {"accuracy": [0.5, 0.6, 0.7], "macs": [2e6] * 3}
    return {"found_on_real": found, "random": {"accuracy": [0.4, 0.5, 0.6], "macs": [1e6, 2e6, 3e6]}}


def _lines(figure: Figure, panel: int) -> dict[str, list[float]]:
    lines = figure.axes[panel].get_lines()
    return {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in lines}


def _labels(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_every_source_has_its_accuracy_and_its_loss():
    figure = figures.search_curves({"synthetic": _history(), "noise": _history(0.1)})
    assert _lines(figure, 0) == {"synthetic": [0.2, 0.5], "noise": [0.2 + 0.1, 0.5 + 0.1]}
    assert _lines(figure, 1) == {"synthetic": [1.0], "noise": [1.1]}
    assert _labels(figure) == ["synthetic", "noise"]


def test_a_loss_that_was_read_once_can_be_seen():
    line = figures.search_curves({"real": _history()}).axes[1].get_lines()[0]
    assert line.get_marker() in theme.MARKERS


def test_weights_are_means_over_edges_in_two_panels():
    weights = np.zeros((3, 2, 4, 3))
    weights[:, 0, :, 1] = 1.0
    weights[:, 1, :2, 2] = weights[:, 1, 2:, 0] = 1.0
    figure = figures.architecture_parameters(weights, STEPS, OPERATIONS)
    normal, reduction = _lines(figure, 0), _lines(figure, 1)
    assert [normal[name] for name in OPERATIONS] == [[0.0] * 3, [1.0] * 3, [0.0] * 3]
    assert [reduction[name] for name in OPERATIONS] == [[0.5] * 3, [0.0] * 3, [0.5] * 3]
    assert _labels(figure) == OPERATIONS


def test_a_search_that_has_decided_nothing_lies_on_the_reference():
    figure = figures.entropy_and_skips({"real": (STEPS, [np.log(8)] * 3, [1 / 8] * 3)}, 8)
    for panel in figure.axes[:2]:
        reference, curve = panel.get_lines()
        assert set(curve.get_ydata()) == {reference.get_ydata()[0]}


def test_found_architectures_have_mean_and_deviation_random_ones_a_band():
    figure = figures.accuracy_against_macs(_arms())
    (bars,) = figure.axes[0].containers
    (points,) = bars.lines[2][0].get_segments()
    assert bars.lines[0].get_ydata() == pytest.approx([0.6])
    assert points[:, 1] == pytest.approx([0.5, 0.7])
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.4, 0.2))
    assert sorted(_labels(figure)) == ["found on real", "random, each", "random, mean ± sd"]


def test_multiply_adds_are_in_millions():
    low, high = figures.accuracy_against_macs(_arms()).axes[0].get_xlim()
    assert 0 < low < 1.0
    assert 3.0 < high < 4.0


def test_one_seed_and_no_random_architecture_are_drawn_too():
    arms = {"found_on_noise": {"accuracy": [0.5], "macs": [1e6]}}
    assert _labels(figures.accuracy_against_macs(arms)) == ["found on noise"]
    assert figures.accuracy_against_macs(arms | {"random": arms["found_on_noise"]}).axes[0].patches
