"""The second opinion, with a table that is made up: the accuracies in it are of no network."""

import dataclasses
import itertools

import pytest

from dfnas import profiles, records
from dfnas.chapters.consistency import tabular
from dfnas.data import real as real_data
from dfnas.data import splits
from dfnas.data.origins import Origin
from dfnas.errors import UserError
from dfnas.models import nasbench
from dfnas.runtime import logs
from dfnas.runtime.artefacts import Artefact
from dfnas.search import tables
from dfnas.training import loop

from .digits import source, stopped_at

MADE_UP = "# made up for a test: no network has these accuracies"
HEADER = "architecture,accuracy,macs,parameters"
SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])


def cell(*operations):
    one, two, three, four, five, six = (nasbench.OPERATIONS[choice] for choice in operations)
    return f"|{one}~0|+|{two}~0|{three}~1|+|{four}~0|{five}~1|{six}~2|"


CELLS = [cell(*choices) for choices in itertools.islice(itertools.product(range(5), repeat=6), 100, 15000, 1500)]


def write(path, texts, accuracies=None, header=HEADER):
    accuracies = accuracies or [0.5 + 0.01 * number for number in range(len(texts))]
    pairs = enumerate(zip(texts, accuracies, strict=True))
    rows = [f"{text},{accuracy},{1000 * number},{10 * number}" for number, (text, accuracy) in pairs]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_table_is_read_with_its_space(tmp_path):
    table = tables.read(write(tmp_path / "cells.csv", CELLS))
    assert (table.kind, len(table.rows)) == ("cell", len(CELLS))
    assert table.rows[2] == (CELLS[2], 0.52, 2000.0, 20.0)
    chains = tables.read(write(tmp_path / "chains.csv", ["00000000", "01202110", "22222222"]))
    assert (chains.kind, chains.rows[1][0]) == ("chain", "01202110")
    assert chains.digest != table.digest


def test_mistakes_in_a_table_are_one_line_that_says_where(tmp_path):
    path = tmp_path / "table.csv"
    for texts, accuracies, header, words in (
        (CELLS, None, "arch,accuracy,macs,parameters", "lacks architecture"),
        ([*CELLS[:3], "|none~0|"], None, HEADER, "line 5: '.none~0.' is neither"),
        (CELLS[:3], [0.5, 93.2, 0.5], HEADER, "line 3: accuracy is a fraction"),
        (CELLS[:3], [0.5, 0.5, "nan"], HEADER, "line 4: accuracy is a fraction"),
        (CELLS[:3], [0.5, 0.5, "good"], HEADER, "line 4: .* must be numbers"),
        ([*CELLS[:3], "01202110"], None, HEADER, "mixes"),
        (CELLS[:2], None, HEADER, "at least 3"),
        ([CELLS[0]] * 3, None, HEADER, "each of another"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            tables.read(write(path, texts, accuracies, header))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="No such file"):
        tables.read(tmp_path / "none.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text file"):
        tables.read(path)
    path.write_text(MADE_UP, encoding="utf-8")
    with pytest.raises(UserError, match="first line"):
        tables.read(path)


@pytest.mark.parametrize("kind", nasbench.KINDS)
def test_a_supernet_that_was_stopped_ends_with_the_same_bits_and_judges_once(tmp_path, kind):
    def train(folder, stop_at=None):
        folder.mkdir(exist_ok=True)
        with stopped_at(stop_at):
            tabular.train(folder, supernet := tabular.build(kind, SETTINGS), source(), SETTINGS)
        return supernet

    supernet = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_at=4)
    train(tmp_path / "stopped")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert one == other

    texts = CELLS if kind == "cell" else ["00000000", "01202110", "22222222", "11111111"]
    rows = [(text, 0.5 + 0.01 * number, 1e6 * number, 0.0) for number, text in enumerate(texts)]
    tabular.judge_all(tmp_path, supernet, source(), rows, SETTINGS)
    log = (tmp_path / tabular.LOG).read_bytes()
    logged = logs.read(tmp_path / tabular.LOG)
    assert [row["architecture"] for row in logged] == texts
    (tmp_path / tabular.LOG).write_bytes(log[: len(log) // 2])
    tabular.judge_all(tmp_path, supernet, source(), rows, SETTINGS)
    assert (tmp_path / tabular.LOG).read_bytes() == log


def test_agreement_with_the_table_is_recorded_and_missing_without_one(tmp_path):
    scores = enumerate((3, 1, 2, 5, 4))
    rows = ({"architecture": str(n), "score": score, "accuracy": n / 10, "macs": -n} for n, score in scores)
    logs.write(tmp_path / tabular.LOG, rows)
    found = records.flat(tabular.metrics({"table-judged": Artefact("judged", "", tmp_path)}, SETTINGS))
    assert (found["table_tau"], found["table_spearman"]) == pytest.approx((0.4, 0.6))
    assert found["table_macs_tau"] == pytest.approx(-1.0)
    assert found["table_architectures"] == 5
    assert found["table_tau_low"] <= found["table_tau"] <= found["table_tau_high"]
    assert found["table_supernets"] == 1
    again = {label: Artefact("judged", "", tmp_path) for label in ("table-judged", "table-judged-2")}
    twice = records.flat(tabular.metrics(again, SETTINGS))
    assert (twice["table_supernets"], twice["table_tau"]) == (2, found["table_tau"])  # the mean of two that are alike
    without = records.flat(tabular.metrics({}, SETTINGS))
    assert set(without) == set(found)
    assert set(without.values()) == {records.MISSING}


def test_a_draw_from_the_table_is_of_different_rows_and_repeats(tmp_path):
    table = tables.read(write(tmp_path / "cells.csv", CELLS))
    drawn = tabular.chosen_rows(table, SETTINGS)
    assert len({row[0] for row in drawn}) == SETTINGS.consistency.tabular.architectures
    assert drawn == tabular.chosen_rows(table, SETTINGS)
    every = dataclasses.replace(SETTINGS.consistency.tabular, architectures=0)
    whole = dataclasses.replace(SETTINGS, consistency=dataclasses.replace(SETTINGS.consistency, tabular=every))
    assert sorted(tabular.chosen_rows(table, whole)) == sorted(table.rows)


def test_the_supernet_is_trained_where_real_data_is_out_of_reach(tmp_path, monkeypatch):
    path = write(tmp_path / "cells.csv", CELLS)
    settings = profiles.load("smoke", 0, [f"consistency.table={path}"])
    learnt, seen = source(), []

    def watching(*arguments, **options):
        with pytest.raises(splits.RealDataError):
            real_data.load(SETTINGS.data)
        seen.append("closed")
        return whole(*arguments, **options)

    whole = loop.train
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(loop, "train", watching)
    monkeypatch.setattr(Origin, "load", lambda *_: learnt)
    origin = Origin("synthetic", "synthetic images")
    made = tabular.compute(settings, origin, None)
    assert seen == ["closed"]
    found = tabular.metrics(made, settings)
    assert found["table_architectures"] == 6
    assert tabular.compute(SETTINGS, origin, None) == {}
