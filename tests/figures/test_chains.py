"""Facts about the figures of what an evolutionary search chose."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from dfnas import figures
from dfnas.figures import theme

NAMES = ["shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception"]
SHARES = np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.5, 0.0], [0.0, 0.1, 0.2, 0.7]])  # three blocks
EXAMPLES = {
    "choices_by_block": lambda: figures.choices_by_block({"first": np.full((3, 4), 0.25), "last": SHARES}, NAMES),
    "best_so_far": lambda: figures.best_so_far(
        {"synthetic": [0.2, 0.4, 0.3, 0.5], "noise": [0.3, 0.3, 0.3]}, {"synthetic": [0, 0, 1, 1], "noise": [0, 0, 1]}
    ),
}
each = pytest.mark.parametrize("name", sorted(EXAMPLES))


def _svg(figure: Figure) -> str:
    with matplotlib.rc_context({"svg.hashsalt": "dfnas"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


@each
def test_the_same_twice_with_labels_and_without_a_trace(name: str) -> None:
    before = dict(matplotlib.rcParams)
    first, second = EXAMPLES[name](), EXAMPLES[name]()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    assert first.get_figwidth() == theme.WIDTH
    assert all(axes.get_ylabel() or axes.get_xlabel() for axes in first.axes)
    assert _svg(first) == _svg(second)


def test_a_row_a_choice_and_a_column_a_block_on_one_scale() -> None:
    first, last = EXAMPLES["choices_by_block"]().axes[:2]
    (uniform,), (mesh,) = first.collections, last.collections
    assert np.asarray(mesh.get_array()).tolist() == SHARES.T.tolist()
    assert uniform.get_clim() == mesh.get_clim() == (0, 1)
    assert last.get_ylim() == (4, 0)  # the first choice on top
    assert [label.get_text() for label in last.get_xticklabels()] == ["1", "2", "3"]
    written = {text.get_position(): text.get_text() for text in last.texts}
    assert written[2.5, 3.5] == "70"


def test_many_blocks_go_without_written_shares() -> None:
    figure = figures.choices_by_block({"last": np.full((20, 4), 0.25)}, NAMES)
    assert [len(axes.texts) for axes in figure.axes] == [0, 0]


def test_shares_of_other_choices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"last: shares \[blocks, 4\] are needed, not \[4, 3\]"):
        figures.choices_by_block({"last": SHARES.T}, NAMES)


def test_the_best_so_far_never_falls_and_is_marked_where_a_generation_starts() -> None:
    synthetic, noise = EXAMPLES["best_so_far"]().axes[0].get_lines()
    assert synthetic.get_ydata().tolist() == [0.2, 0.4, 0.4, 0.5]
    assert synthetic.get_markevery() == [0, 2]
    assert noise.get_xdata().tolist() == [1, 2, 3]


def test_a_candidate_without_a_score_does_not_hide_the_best() -> None:
    figure = figures.best_so_far({"real": [0.2, float("nan"), 0.3]}, {"real": [0, 0, 0]})
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == [0.2, 0.2, 0.3]
