"""Facts about the figures of pruned networks: what they draw, and where."""

import numpy as np
import pytest

from dfnas import figures


def test_widths_are_shares_of_the_full_ones():
    figure = figures.widths({"pruned": [8, 4, 64], "even": [8, 16, 32]}, [16, 16, 64], ["stem", "1.1", "1.2"])
    curves = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].get_lines()}
    assert curves == {"pruned": [0.5, 0.25, 1.0], "even": [0.5, 1.0, 0.5]}
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["stem (16)", "1.1 (16)", "1.2 (64)"]
    with pytest.raises(ValueError, match="2 widths, 3 full ones"):
        figures.widths({"pruned": [8, 4]}, [16, 16, 64], ["a", "b", "c"])


def test_a_generation_is_a_column_and_a_layer_a_row():
    ratios = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    (mesh,) = figures.widths_by_generation(ratios, ["stem", "1.1", "1.2"]).axes[0].collections
    assert np.array_equal(np.asarray(mesh.get_array()), ratios.T)
    with pytest.raises(ValueError, match=r"\[generations, 2\]"):
        figures.widths_by_generation(ratios, ["stem", "1.1"])


def test_budgets_are_ordered_by_cost_and_random_networks_are_shown_one_by_one():
    small, large = {"accuracy": [0.4, 0.6], "macs": [1e6, 1e6]}, {"accuracy": [0.7, 0.9], "macs": [3e6, 3e6]}
    figure = figures.accuracy_by_budget({"pruned_on_real": [large, small], "random": [small]})
    (pruned, *_), (chance, *_) = [container.lines for container in figure.axes[0].containers]
    assert pruned.get_xdata().tolist() == [1.0, 3.0]
    assert pruned.get_ydata() == pytest.approx([0.5, 0.8])
    assert chance.get_ydata() == pytest.approx([0.5])
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert [line.get_ydata().tolist() for line in crosses] == [[0.4, 0.6]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pruned on real", "random"]
