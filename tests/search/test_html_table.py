"""Tables of what searches found: the numbers of the record, rounded, and none that is not there."""

import json
import re
from pathlib import Path

from dfnas import profiles
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.statistics import Summary
from dfnas.search import html_table

SCRATCH = profiles.load("smoke").darts.scratch
SEARCHED_ONCE = [("synthetic", 0, 0), ("synthetic", 0, 1), ("synthetic", 1, 0), ("real", 0, 0), ("real", 0, 1)]


def trained(folder, accuracies):
    made = {}
    for label, (accuracy, macs) in accuracies.items():
        (folder / label).mkdir()
        facts = {"accuracy": accuracy, "macs": macs, "parameters": 5, "architecture": "darts:…"}
        (folder / label / "scratch.json").write_text(json.dumps(facts), encoding="utf-8")
        made[label] = Artefact(label, "", folder / label)
    return made


def test_finds_are_shown_beside_random_ones_with_the_interval_of_their_searches(tmp_path):
    found = {"found-synthetic-0-0": (0.5, 1e6), "found-synthetic-1-0": (0.6, 1e6), "found-real-0-0": (0.25, 2e6)}
    random = {f"random-{index}": (0.3 + 0.1 * index, 1e6 * (1 + index)) for index in range(2)}
    beside, between = html_table.finds(trained(tmp_path, found | random), SCRATCH).tables
    ours, theirs = beside.rows
    assert ours[:5] == ["synthetic", "55.0 ± 7.1 %", "2 searches", "1.00", "35.0 ± 7.1 % (2, 1.50)"]
    assert ours[5].startswith("+20.0 (")
    assert theirs[1:4] == ["25.0 %", "1 search, 1 training", "2.00"]
    assert between.rows == [["synthetic \N{MINUS SIGN} real", "+25.0 (one value)"]]
    assert "real soft" not in beside._repr_html_()


def test_an_interval_over_trainings_of_one_find_is_marked(tmp_path):
    found = {f"found-{name}-{seed}-{run}": (0.5 + 0.01 * run, 1e6) for name, seed, run in SEARCHED_ONCE}
    random = {f"random-{index}": (0.3 + 0.1 * index, 1e6 * (1 + index)) for index in range(2)}
    beside, between = html_table.finds(trained(tmp_path, found | random), SCRATCH).tables
    assert [row[5].endswith(")*") for row in beside.rows] == [False, True]
    assert [row[1].endswith(")*") for row in between.rows] == [True]
    assert beside.caption.endswith(html_table.OVER)
    assert between.caption.endswith(html_table.OVER)


def test_a_metric_that_a_source_lacks_is_left_empty():
    found = {"entropy_end_real": Summary(1.25, 0.5, 2), "skips_synthetic": 3, "gap_real": -0.12}
    rows = {"entropy": "entropy_end|.2f", "… deviation": "entropy_end.deviation|.1f", "skips": "skips|.1f"}
    rows["gap"] = "gap|+.1f"
    table = html_table.by_source(found, ["synthetic", "real"], rows, "what")
    assert table.head == ["", "synthetic", "real"]
    minus = "\N{MINUS SIGN}0.1"
    assert table.rows == [["entropy", "", "1.25"], ["… deviation", "", "0.5"], ["skips", "3.0", ""], ["gap", "", minus]]


def test_what_a_page_s_table_calls_a_deviation_is_one_in_the_record():
    """`by_source` shows a metric that is no summary as it is, whatever field of it a row names."""
    asked = {
        (path.stem, metric)
        for path in sorted(Path("notebooks").glob("*.ipynb"))
        for metric in re.findall(r"\"(\w+)\.deviation\|", json.dumps(json.loads(path.read_bytes())).replace("\\", ""))
    }
    assert ("05-spos", "first") in asked
    for chapter, metric in asked:
        metrics = json.loads(Path(f"book/executed/records/quick/{chapter}.json").read_bytes())["metrics"]
        means = [name for name in metrics if re.fullmatch(rf"{metric}_(synthetic|real|real_soft|control|noise)", name)]
        assert means
        assert all(f"{name}_n" in metrics for name in means), (chapter, metric)
