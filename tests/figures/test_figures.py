"""Facts about the book's figures: what they draw, and that they are deterministic and leave no trace."""

import io

import matplotlib
import numpy as np
import pytest
import seaborn
from matplotlib import pyplot
from matplotlib.figure import Figure

from dfnas import figures
from dfnas.figures import comparisons, rooflines, theme
from dfnas.models import darts
from dfnas.search import evolution

NAMES = [f"class {k}" for k in range(10)]


def _statistics(shift: float) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {"mean": generator.normal(size=30) + shift, "variance": generator.uniform(0.1, 2.0, size=30)}


def _history() -> list[dict[str, float]]:
    return [{"step": i, "train_loss": 2.0 / (i + 1), "test_accuracy": i / 10} for i in range(10)]


def _terms() -> dict[str, list[float]]:
    return {"iteration": [0, 1, 2, 3], "cross_entropy": [2.0, 1.0, 0.5, 0.1], "image_l2": [0, 0, 0, 0]}


def _search() -> dict[str, list[float]]:
    return {"step": [20], "loss": [1.0], "evaluated_step": [10, 20], "validation_accuracy": [0.2, 0.5]}


ARMS = {"hard": [0.5, 0.52, 0.55], "calibrated": [0.6, 0.58, 0.63], "online": [0.62, 0.66, 0.64]}
VISITED = [
    evolution.Visited(i // 4, ("random", "mutation", "crossover", "random")[i % 4], (), (i,), (i % 7 / 10, 0.1))
    for i in range(12)
]
EXAMPLES = {
    "learning_curve": lambda: figures.learning_curve(_history()),
    "schedule": lambda: figures.schedule(np.linspace(1, 0, 20), [10], ["half", "full"]),
    "loss_terms": lambda: figures.loss_terms(_terms(), [2], ["half", "full"]),
    "label_entropy_by_round": lambda: figures.label_entropy_by_round(np.ones((3, 50)), 10, real=np.full(9, 0.2)),
    "drift_by_round": lambda: figures.drift_by_round([0.02, 0.05], [0.0, 0.01, 0.04]),
    "confusion_matrix": lambda: figures.confusion_matrix(np.eye(10, dtype=int) * 9 + 1, NAMES),
    "class_similarity": lambda: figures.class_similarity(np.full((10, 10), 0.1), np.eye(10), NAMES),
    "update_counts": lambda: figures.update_counts(np.ones((20, 20)), np.full((20, 20), 1.5)),
    "batch_norm_memory": lambda: figures.batch_norm_memory(
        _statistics(0.0), {"real": _statistics(0.1), "noise": _statistics(3.0)}
    ),
    "arms": lambda: figures.arms(ARMS),
    "arm_differences": lambda: figures.arm_differences(ARMS, "hard"),
    "accuracy_against_images": lambda: figures.accuracy_against_images(
        {"real": ([100, 1000], [[0.4, 0.5], [0.7, 0.8]]), "synthetic": ([100], [[0.3, 0.3]])}
    ),
    "search_curves": lambda: figures.search_curves({"synthetic": _search(), "noise": _search()}),
    "architecture_parameters": lambda: figures.architecture_parameters(
        np.full((3, 2, 4, 3), 1 / 3), [0, 10, 20], ["none", "skip", "conv"]
    ),
    "entropy_and_skips": lambda: figures.entropy_and_skips({"real": ([0, 10], [2.0, 1.5], [0.1, 0.2])}, 8),
    "accuracy_against_macs": lambda: figures.accuracy_against_macs(
        {"found_on_real": {"accuracy": [0.5, 0.6], "macs": [2e6, 2e6]}, "random": {"accuracy": [0.4], "macs": [1e6]}}
    ),
    "best_so_far": lambda: figures.best_so_far({"real": [0.2, 0.4, 0.3]}, {"real": [0, 0, 1]}),
    "choices_by_block": lambda: figures.choices_by_block({"last": np.full((3, 4), 0.25)}, ["a", "b", "c", "d"]),
    "chain": lambda: figures.chain({"real": [0, 1, 1]}, [(16, 1, 1), (32, 2, 2)], ["three", "five"], ["3", "5"]),
    "genotype": lambda: figures.genotype(darts.DARTS_V2),
    "latencies": lambda: figures.latencies(
        {"predicted": [1.0, 2.0], "measured": [1.5, 2.5], "low": [1.4, 2.0], "high": [1.6, 3.0], "macs": [1e6, 3e6]}
    ),
    "path_probabilities": lambda: figures.path_probabilities(np.full((2, 3, 2), 0.5), [0, 10], ["three", "zero"]),
    "updates": lambda: figures.updates({"real": {"step": [0, 5], "reward": [0.1, 0.3]}}, {"reward": "reward"}),
    "against_real": lambda: figures.against_real([0.4, 0.5, 0.6], {"noise": [0.1, 0.1, 0.1]}),
    "coefficients": lambda: figures.coefficients({"noise": {"Kendall": (0.1, -0.2, 0.4)}}),
    "judges": lambda: figures.judges({"supernets": {"real": ([0.4, 0.5], (0.45, 0.3, 0.6))}}, "tau", "Judges"),
    "regrets": lambda: figures.regrets({"synthetic": [0.02, 0.01, 0.0]}, [0.03, 0.02, 0.0]),
    "widths": lambda: figures.widths({"pruned": [8, 4]}, [16, 16], ["stem", "1.1"]),
    "widths_by_generation": lambda: figures.widths_by_generation([[0.5, 0.2], [0.4, 0.3]], ["stem", "1.1"]),
    "accuracy_by_budget": lambda: figures.accuracy_by_budget(
        {"uniform": [{"accuracy": [0.5, 0.6], "macs": [2e6, 2e6]}, {"accuracy": [0.4, 0.3], "macs": [1e6, 1e6]}]}
    ),
    "roofline": lambda: figures.roofline(
        [rooflines.Machine("here", "fp32", 1e11, 1e10, True)], [rooflines.Point("sum", "fp32", 0.5)]
    ),
    "ratios": lambda: figures.ratios([{"name": "loader", "ratio": 2.0, "ratio_low": 1.5, "ratio_high": 2.5}]),
    "growths": lambda: figures.growths(
        [{"name": "step", "variable": "images", "sizes": [1, 2], "seconds": [0.1, 0.2], "slope": 1.0}]
    ),
    "population": lambda: figures.population(VISITED, [i * 1e6 for i in range(12)], 9e6),
}


def _svg(figure: Figure) -> str:
    with matplotlib.rc_context({"svg.hashsalt": "dfnas"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def test_every_figure_has_an_example() -> None:
    tables = {"Tables", "arms_table", "by_source", "finds"}  # tested in search/test_html_table.py
    pictures = {"Pictures", "Row", "ablation_strip", "beside", "image_grid"}  # tested in test_pictures.py
    drawn = {name for name, value in vars(figures).items() if callable(value)}
    assert sorted(EXAMPLES) == sorted(drawn - tables - pictures)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_figures_are_figures_and_come_out_the_same_twice(name: str) -> None:
    first, second = EXAMPLES[name](), EXAMPLES[name]()
    assert isinstance(first, Figure)
    assert first.get_figwidth() == theme.WIDTH
    assert _svg(first) == _svg(second)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"genotype"}))
def test_axes_are_labelled(name: str) -> None:
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in EXAMPLES[name]().axes]
    assert any(x for x, _ in labels)
    assert any(y for _, y in labels)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_nothing_global_changes(name: str) -> None:
    before = dict(matplotlib.rcParams)
    EXAMPLES[name]()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_a_history_of_rows_equals_one_of_columns() -> None:
    rows = [{"step": 0, "loss": 2.0}, {"step": 1, "loss": 1.0}]
    assert _svg(figures.learning_curve(rows)) == _svg(figures.learning_curve({"step": [0, 1], "loss": [2.0, 1.0]}))


def test_a_history_without_time_is_refused() -> None:
    with pytest.raises(ValueError, match="'epoch', 'step' or 'iteration'"):
        figures.learning_curve({"loss": [1.0]})


def test_values_that_rows_lack_are_skipped() -> None:
    rows = [{"step": 0, "accuracy": 0.1}, {"step": 1}, {"step": 2, "accuracy": 0.3}]
    (line,) = figures.learning_curve(rows).axes[0].get_lines()
    assert line.get_xdata().tolist() == [0, 2]


def test_terms_that_are_zero_throughout_are_left_out() -> None:
    figure = figures.loss_terms(_terms())
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["cross entropy"]


def test_class_similarity_leaves_its_input_alone_and_the_diagonal_out() -> None:
    matrix = np.eye(10)
    shown = figures.class_similarity(matrix, matrix, NAMES).axes[0].get_images()[0].get_array()
    assert np.isnan(np.diag(np.ma.filled(shown, np.nan))).all()
    assert matrix.trace() == 10


def test_differences_are_paired_and_in_points() -> None:
    figure = figures.arm_differences({"a": [0.1, 0.2], "b": [0.2, 0.4]}, "a")
    assert figure.axes[0].get_lines()[0].get_xdata() == pytest.approx([10.0, 20.0])


def test_the_interval_is_students() -> None:
    # mean 0.5, standard deviation 0.1, n = 3: t(0.975, 2) = 4.302653
    assert comparisons.interval([0.4, 0.5, 0.6]) == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
    assert comparisons.interval([0.4]) == 0.0


def test_the_frame_holds_every_value_and_the_intervals_of_three_or_more() -> None:
    two, three = [0.54, 0.56], [0.50, 0.51, 0.52]
    left, right = figures.arms({"two": two, "three": three}).axes[0].get_xlim()
    reach = comparisons.interval(three)
    assert 0.51 - reach - 0.01 < left < 0.51 - reach
    assert 0.56 < right < 0.57 < 0.55 + comparisons.interval(two)


@pytest.mark.parametrize(
    ("share", "label"), [(0.5, "50%"), (0.545, "54.5%"), (1.0, "100%"), (0.0, "0%"), (0.3 - 0.1, "20%")]
)
def test_a_share_is_labelled_with_the_digits_that_it_has(share: float, label: str) -> None:
    assert theme.percent(share) == label


def test_a_thousand_classes_are_drawn_without_names() -> None:
    figure = figures.confusion_matrix(np.eye(1000, dtype=int), [str(k) for k in range(1000)])
    assert len(figure.axes[0].texts) == 0


def test_the_palette_is_seaborns_for_the_colour_blind() -> None:
    assert list(seaborn.color_palette("colorblind")) == theme.PALETTE
