"""The page of results: which records it reads, and what it says where there is none."""

import json
import re

import pytest
from claims.audit import audit

from dfnas import profiles, records
from dfnas.chapters import results
from dfnas.figures import comparisons
from dfnas.figures import intervals as drawn
from dfnas.records import claims
from dfnas.runtime import artefacts, paths, stages
from dfnas.runtime.statistics import Interval
from dfnas.search import html_table

SETTINGS = profiles.load("smoke")


def record(**metrics):
    return {"verdict": "good", "commit": "0abc123", "metrics": metrics, "parameters": {"data": {"name": "cifar10"}}}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A root without published records, and an empty folder of runs."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(paths, "root", lambda: tmp_path / "root")
    artefacts.reset()
    return tmp_path


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def test_the_running_profile_is_read_from_its_own_folder_and_others_from_the_book(book):
    write(book / "runs" / "smoke", "05-spos", record(a=1))
    write(book / "root" / "book" / "executed", "05-spos", record(a=2))
    write(book / "root" / "book" / "executed" / "records" / "smoke", "05-spos", record(a=3))
    write(book / "root" / "book" / "executed" / "records" / "quick", "05-spos", record(a=4))
    sets = results.gather(SETTINGS)
    found = {profile: chapters["05-spos"]["metrics"]["a"] for profile, chapters in sets.items() if chapters}
    assert found == {"smoke": 1, "laptop": 2, "quick": 4}


def test_runs_that_are_not_good_and_the_page_itself_do_not_count(book):
    folder = book / "runs" / "smoke"
    write(folder, "04-darts", record(a=1) | {"verdict": "unchecked"})
    write(folder, results.NAME, record(a=1))
    write(folder, "05-spos", record(a=1))
    (folder / "03-calibration.json").write_text("{half a rec", encoding="utf-8")
    assert set(results.gather(SETTINGS)["smoke"]) == {"05-spos"}


def test_a_changed_record_makes_the_page_stale_and_a_new_time_does_not(book):
    def key():
        return stages.keys(lambda: results.compute(SETTINGS))["results"]

    folder = book / "runs" / "smoke"
    before = key()
    write(folder, "05-spos", record(found_on_synthetic=0.5))
    with_one = key()
    write(folder, "05-spos", record(found_on_synthetic=0.5) | {"seconds": 3.0})
    assert key() == with_one
    write(folder, "05-spos", record(found_on_synthetic=0.51))
    assert len({before, with_one, key()}) == 3


def test_the_paper_s_numbers_are_those_of_our_sources_and_no_others():
    known = {item.title: item.paper for item in results.EXPERIMENTS if item.paper != results.UNKNOWN}
    assert set(known) == {"SPOS on synthetic images", "SPOS on real images"}
    for text, error, macs in zip(known.values(), ("25.8", "25.7"), ("316M", "319M"), strict=True):
        accuracy = float(re.match(r"([\d.]+)%", text).group(1))
        assert f"error {error}%" in text
        assert macs in text
        assert accuracy == pytest.approx(100 - float(error))


def test_what_was_not_run_is_said_to_be_so_at_the_paper_s_scale_too():
    def row(profile, accuracy):
        found = record(found_on_synthetic=accuracy, found_on_synthetic_std=0.01, found_on_synthetic_n=3)
        table = results.experiments({profile: {"05-spos": found}}, "laptop")
        (row,) = (row for row in table.rows if row[0] == "SPOS on synthetic images")
        return [entry.replace("\N{NO-BREAK SPACE}", " ") for entry in row[2:]]

    assert row("laptop", 0.44) == ["not run here", "44.0% ± 1.0 (n = 3)", "not run here"]
    assert row("paper-imagenet", 0.74) == ["74.0% ± 1.0 (n = 3)", "not run here", "not run here"]


def test_cells_have_spread_or_interval():
    accuracy = next(item for item in results.EXPERIMENTS if item.metric == "student_accuracy")
    rank = next(item for item in results.EXPERIMENTS if item.metric == "tau_noise_real")
    chapters = {
        accuracy.chapter: record(student_accuracy=0.5571, student_accuracy_std=0.0279, student_accuracy_n=3),
        rank.chapter: record(tau_noise_real=-0.1, tau_noise_real_low=-0.4, tau_noise_real_high=0.25),
    }
    assert results.cell(accuracy, chapters).replace("\N{NO-BREAK SPACE}", " ") == "55.7% ± 2.8 (n = 3)"
    metric = accuracy.metric
    chapters[accuracy.chapter]["metrics"] |= {f"{metric}_std": 0.0, f"{metric}_n": 1}
    assert results.cell(accuracy, chapters).replace("\N{NO-BREAK SPACE}", " ") == "55.7% ± \N{EN DASH} (n = 1)"
    assert results.cell(rank, chapters) == "\N{MINUS SIGN}0.10 (\N{MINUS SIGN}0.40 to +0.25)"
    dashes = {rank.metric: records.absent(Interval)}
    assert results.cell(rank, {rank.chapter: record(**records.flat(dashes))}) == results.NOT_RUN
    assert results.cell(rank, {}) == results.NOT_RUN


def test_an_estimate_goes_into_the_page_s_record_whole():
    sets = {"smoke": {"05-spos": record(**records.flat({"difference_synthetic_real": Interval(0.5, -0.4, 1.4)}))}}
    found = results.metrics(sets, "smoke")
    assert found["estimate_spos_not_below_real"] == Interval(0.5, -0.4, 1.4)
    page = {"profile": "smoke", "metrics": records.flat(found)}
    assert audit(page, sets) == []
    page["metrics"]["estimate_spos_not_below_real_low"] = 0.4
    assert audit(page, sets) == ["estimate_spos_not_below_real_low"]


def test_tables_are_escaped_and_their_rows_have_headings():
    text = html_table.Table(["a", "<b>"], [["1 < 2", "c & d"]], "the words")._repr_html_()
    assert '<th scope="row">1 &lt; 2</th><td>c &amp; d</td>' in text
    assert '<th scope="col">&lt;b&gt;</th>' in text
    assert text.count("<tr>") == 2


def test_every_claim_has_a_state_in_every_small_profile():
    tables = [results.states({}, "smoke", kind) for kind in claims.KINDS]
    assert all(list(table.head) == ["Claim", "laptop", "quick", "smoke"] for table in tables)
    assert sum(len(table.rows) for table in tables) == len(claims.CLAIMS)
    assert {entry for table in tables for row in table.rows for entry in row[1:]} == {"not run"}


def test_the_two_kinds_of_claims_are_counted_apart():
    sets = {"smoke": {"03-calibration": record(**records.flat({"difference_noise_round0": Interval(-9, -12, -6)}))}}
    found = results.metrics(sets, "smoke")
    kinds = [claim.kind for claim in claims.CLAIMS]
    assert (found["claims"], found["sanity"]) == (kinds.count(claims.METHOD), kinds.count(claims.SANITY))
    assert (found["sanity_holds"], found["claims_holds"], found["claims_not_run"]) == (1, 0, found["claims"])
    assert sum(found[f"claims_{state}"] for state in claims.STATES) == found["claims"]
    assert found["claim_images_above_noise"] == claims.HOLDS


LEAD = {"difference_synthetic_real": Interval(0.5, -0.4, 1.4, 4), "searches_synthetic": 3, "searches_real": 2}
GATES = {"random_for_synthetic": 0.6, "found_on_synthetic_macs": 1e6, "found_on_real_macs": 1e6}


def test_what_cannot_be_told_is_said_in_the_table_with_its_reason():
    for changes, state in (
        ({}, "holds"),
        ({"searches_real": 1}, "cannot tell (of searches on real images there was one)"),
        ({"random_for_synthetic": 0.4}, "cannot tell (networks reach 40.0% on real test images)"),
    ):
        found = record(**records.flat(LEAD | GATES | changes))
        table = results.states({"laptop": {"05-spos": found}}, "laptop")
        (row,) = (row for row in table.rows if row[0] == claims.BY_NAME["spos-not-below-real"].text)
        assert row[1] == state


def test_estimates_are_drawn_less_their_limits():
    (row,) = results.estimates({"05-spos": record(**records.flat(LEAD | GATES))})
    assert row[0] == "spos-not-below-real"
    assert row[4] == "holds"
    assert row[1:4] == pytest.approx((1.5, 0.6, 2.4))
    for rows in ([], [drawn.Row(*row)], [drawn.Row(*row), drawn.Row("other", 1.0, float("nan"), float("nan"), "x")]):
        figure = drawn.estimates(rows)
        assert len(figure.axes[0].get_yticks()) == len(rows)


def test_agreement_s_grey_areas_are_those_of_the_bounds():
    figure = comparisons.agreement_against_accuracy({"one": ([0.5, 0.6], [0.5, 0.55])}, 0.9)
    low, high = (patch.get_paths()[0].vertices for patch in figure.axes[0].collections)
    assert low[:, 1].max() == pytest.approx(0.9)
    assert high[:, 1].min() == pytest.approx(0.1)
