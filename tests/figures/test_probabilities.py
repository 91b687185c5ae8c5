"""Facts about the figures of a search over paths: what they draw, and where."""

import numpy as np
import pytest

from dfnas import figures
from dfnas.figures.probabilities import MOMENTS

NAMES = ["conv_3", "conv_5", "zero"]


def test_each_block_has_a_panel_whose_areas_add_up_to_one():
    probabilities = np.array([[[0.2, 0.3, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]] * 2)
    figure = figures.path_probabilities(probabilities, [0, 10], NAMES)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.texts[0].get_text() for axes in panels] == ["block 1", "block 2", "block 3"]
    tops = [max(area.get_paths()[0].vertices[:, 1].max() for area in axes.collections) for axes in panels]
    assert tops == pytest.approx([1.0, 1.0, 1.0])
    heights = [np.ptp(area.get_paths()[0].vertices[:, 1]) for area in panels[0].collections]
    assert heights == pytest.approx([0.2, 0.3, 0.5])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["conv 3", "conv 5", "zero"]


def test_of_a_long_search_moments_are_drawn_with_its_ends():
    steps = list(range(0, 10_000, 10))
    share = np.linspace(0.1, 0.9, len(steps))[:, None]
    figure = figures.path_probabilities(np.stack([share, 1 - share], 2), steps, ["three", "zero"])
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert len(np.unique(corners[:, 0])) == MOMENTS
    assert (corners[:, 0].min(), corners[:, 0].max()) == (0, 9990)
    assert corners[corners[:, 0] == 9990][:, 1].max() == pytest.approx(0.9)


def test_curves_of_updates_are_means_of_stretches():
    log = {"step": range(80), "reward": [0.0, 1.0] * 40, "entropy": np.linspace(4, 2, 80)}
    figure = figures.updates({"real": log, "noise": log}, {"reward": "reward", "entropy": "entropy (nats)"})
    above, below = figure.axes
    assert [len(axes.get_lines()) for axes in (above, below)] == [2, 2]
    assert above.get_lines()[0].get_ydata().tolist() == [0.5] * 40
    assert above.get_lines()[0].get_xdata()[:2].tolist() == [0.5, 2.5]
    assert below.get_ylabel() == "entropy (nats)"


def test_latencies_lie_at_what_was_predicted_and_counted():
    networks = {
        "predicted": [1.0, 2.0],
        "measured": [1.5, 2.5],
        "low": [1.4, 2.0],
        "high": [1.6, 3.0],
        "macs": [1e6, 3e6],
    }
    above, below = figures.latencies(networks).axes
    assert above.get_lines()[0].get_xydata().tolist() == [[1.0, 1.5], [2.0, 2.5]]
    assert below.get_lines()[0].get_xydata().tolist() == [[1.0, 1.5], [3.0, 2.5]]
    ends = next(line for line in above.get_lines() if line.get_label() == "equal").get_xydata()
    assert ends.tolist() == [[1.0, 1.0], [3.0, 3.0]]
