"""The claims of the book on the published records: the state shown is the state that the records give."""

import dataclasses
import json
import math
import random

import nbformat
import pytest

from dfnas import profiles, records
from dfnas.chapters import results
from dfnas.chapters.pruning import networks
from dfnas.publishing import markdown, publish
from dfnas.records import claims
from dfnas.runtime import paths, statistics
from dfnas.runtime.statistics import Interval, Summary

BOOK = {profile: results.read_folder(results.published(profile)) for profile in profiles.NAMES}
RUN = [(profile, claim) for profile, chapters in BOOK.items() for claim in claims.CLAIMS if claim.chapter in chapters]
each_claim = pytest.mark.parametrize(("profile", "claim"), RUN, ids=lambda value: getattr(value, "name", value))
PAGES = [
    (profile, path)
    for profile in profiles.NAMES
    for path in [results.published(profile) / f"{results.NAME}.json"]
    if path.exists()
]
each_page = pytest.mark.parametrize(("profile", "path"), PAGES, ids=lambda value: getattr(value, "stem", value))


@pytest.mark.parametrize("profile", ["quick", "laptop"])
def test_the_searched_student_of_chapter_9_is_what_chapter_6_found(profile):
    found = BOOK[profile]["05-spos"]["metrics"]["found_on_synthetic_architecture"]
    assert profiles.load(profile).distillation.searched == found


@each_claim
def test_a_published_record_has_what_its_claims_ask_for(profile, claim):
    finding = claims.judge(claim, BOOK[profile])
    assert finding.state in (claims.HOLDS, claims.FAILS, claims.UNDECIDED)
    low, value, high = finding.estimate.low, finding.estimate.value, finding.estimate.high
    assert math.isnan(low) or low <= value <= high


@each_claim
def test_a_state_is_decided_only_where_the_interval_leaves_the_limit_out(profile, claim):
    finding = claims.judge(claim, BOOK[profile])
    ends = finding.estimate.low, finding.estimate.high
    if finding.state == claims.HOLDS:
        assert min(ends) > claim.limit
    if finding.state == claims.FAILS:
        assert max(ends) < claim.limit


@each_page
def test_the_published_page_agrees_with_the_records_digit_by_digit(profile, path):
    record = json.loads(path.read_bytes())
    wrong = results.audit(record, BOOK)
    assert wrong == [], "a record was changed, or published since: run and publish 12-results again"


@pytest.mark.parametrize("profile", [profile for profile, chapters in BOOK.items() if chapters])
def test_a_changed_digit_in_any_record_is_found(profile):
    page = {"profile": profile, "metrics": records.flat(results.metrics(BOOK, profile))}
    assert results.audit(page, BOOK) == []
    generator = random.Random(0)
    for chapter, record in BOOK[profile].items():
        name, value = generator.choice([item for item in record["metrics"].items() if isinstance(item[1], float)])
        digits = repr(value)
        spoilings = [
            float(digits[:at] + str((int(digit) + 1) % 10) + digits[at + 1 :])
            for at, digit in enumerate(digits)
            if digit.isdigit()
        ]
        changed = generator.choice([number for number in spoilings if number != value])  # the last may round to it
        spoilt = {chapter: record | {"metrics": record["metrics"] | {name: changed}}}
        found = results.audit(page, BOOK | {profile: BOOK[profile] | spoilt})
        assert any(key.startswith("digest_") and chapter[3:].replace("-", "_") in key for key in found), (chapter, name)


def test_a_changed_digit_or_state_on_the_page_itself_is_found():
    page = {"profile": "laptop", "metrics": records.flat(results.metrics(BOOK, "laptop"))}
    for name, value in page["metrics"].items():
        changed = value + 1 if isinstance(value, (int, float)) else f"{value}x"
        assert results.audit({**page, "metrics": page["metrics"] | {name: changed}}, BOOK) == [name]
    assert results.audit({**page, "metrics": page["metrics"] | {"claim_invented": claims.HOLDS}}, BOOK) == [
        "claim_invented"
    ]


def made_up(low, high, data="cifar10", value=None):
    """A record with one difference."""
    middle = (low + high) / 2 if value is None else value
    return {"metrics": {"d": middle, "d_low": low, "d_high": high}, "parameters": {"data": {"name": data}}}


CLAIM = claims.Claim("made-up", "chapter", "A made-up sentence.", claims.recorded("d"))


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        (0.1, 2.0, claims.HOLDS),
        (-2.0, -0.1, claims.FAILS),
        (-0.1, 2.0, claims.UNDECIDED),
        (0.0, 0.0, claims.UNDECIDED),
        (0.0, 1.0, claims.UNDECIDED),
        (math.nan, math.nan, claims.UNDECIDED),
    ],
)
def test_the_interval_gives_the_state(low, high, state):
    assert claims.judge(CLAIM, {"chapter": made_up(low, high)}).state == state


def test_what_was_not_run_says_so():
    assert claims.judge(CLAIM, {}).state == claims.NOT_RUN
    assert claims.judge(CLAIM, {"chapter": {"metrics": {}}}).state == claims.NOT_RUN
    dash = {"metrics": dict.fromkeys(("d", "d_low", "d_high"), "\N{EN DASH}")}
    assert claims.judge(CLAIM, {"chapter": dash}).state == claims.NOT_RUN
    assert "no run of chapter" in claims.described(CLAIM, claims.judge(CLAIM, {}))


def test_on_digits_less_than_three_points_from_the_limit_decide_nothing():
    for value, state in ((2.9, claims.UNDECIDED), (3.1, claims.HOLDS), (-3.1, claims.FAILS)):
        record = made_up(value - 0.01, value + 0.01, "digits")
        assert claims.judge(CLAIM, {"chapter": record}).state == state


def test_a_margin_moves_the_limit_and_a_sign_turns_the_difference_round():
    margin = claims.Claim("made-up", "chapter", "", claims.recorded("d"), limit=-1.0)
    assert claims.judge(margin, {"chapter": made_up(-0.9, 2.0)}).state == claims.HOLDS
    assert claims.judge(margin, {"chapter": made_up(-1.1, 2.0)}).state == claims.UNDECIDED
    turned = claims.Claim("made-up", "chapter", "", claims.recorded("d", -1))
    finding = claims.judge(turned, {"chapter": made_up(-3.0, -1.0)})
    assert (finding.state, finding.estimate) == (claims.HOLDS, Interval(2.0, 1.0, 3.0))


def test_an_accuracy_above_chance_has_the_sampling_of_test_images_in_its_interval():
    record = {"metrics": {"a": 0.6, "a_std": 0.02, "a_n": 4}, "parameters": {"data": {"classes": 10}}}
    # Student's t with three degrees of freedom: 3.182446
    reach = 100 * 3.182446 * 0.02 / 2
    assert claims.above_chance("a")(record) == pytest.approx((50, 50 - reach, 50 + reach), abs=1e-4)
    record["parameters"]["data"]["name"] = "digits"
    wider = math.hypot(reach, 100 * 1.959964 * math.sqrt(0.6 * 0.4 / 360))
    assert claims.above_chance("a")(record) == pytest.approx((50, 50 - wider, 50 + wider), abs=1e-4)


def test_the_numbers_of_test_images_are_those_of_the_published_teachers():
    for chapters in filter(None, BOOK.values()):
        record = chapters["01-teacher"]
        assert record["metrics"]["test_images"] == claims.TEST_IMAGES[record["parameters"]["data"]["name"]]


def test_a_claim_about_searches_is_not_decided_by_one_of_them():
    claim = dataclasses.replace(CLAIM, repeats=("searches_synthetic", "searches_real"))
    record = made_up(0.1, 2.0)
    for counts, state in (({}, claims.UNDECIDED), ((3, 1), claims.UNDECIDED), ((2, 2), claims.HOLDS)):
        record["metrics"] |= dict(zip(claim.repeats, counts, strict=False))
        finding = claims.judge(claim, {"chapter": record})
        assert (finding.state, "one search" in finding.reason) == (state, state == claims.UNDECIDED)
        assert claims.described(claim, finding).endswith(finding.reason)


def test_no_published_claim_about_a_method_is_decided_by_one_search_or_one_supernet():
    about = [claim for claim in claims.CLAIMS if claim.name.startswith(("darts", "spos", "proxylessnas"))]
    assert {claim.chapter for claim in about} == {"04-darts", "05-spos", "06-proxylessnas", "07-consistency"}
    assert all(claim.repeats for claim in about)
    others = {"above-noise": ["searches_noise"], "not-below-real": ["searches_real"], "above-random": []}
    for claim in (claim for claim in about if "tau" not in claim.name):
        assert list(claim.repeats) == ["searches_synthetic", *others[claim.name.partition("-")[2]]]
    for chapters in filter(None, BOOK.values()):
        for claim in about:
            counts = [chapters[claim.chapter]["metrics"].get(name, 1) for name in claim.repeats]
            assert min(counts) > 1 or claims.judge(claim, chapters).state == claims.UNDECIDED


def test_pruning_is_judged_by_one_value_a_window():
    metrics = {}
    for end, one, other in zip(claims.WINDOWS, (0.5, 0.4, 0.3), (0.4, 0.35, 0.25), strict=True):
        metrics |= records.flat({f"a{end}": Summary(one, 0.1, 3), f"b{end}": Summary(other, 0.1, 3)})
    found = claims.over_windows("a", "b")({"metrics": metrics})
    assert found == pytest.approx(Interval(*(100 * end for end in statistics.interval([0.1, 0.05, 0.05]))))
    alone = {name: value for name, value in metrics.items() if "second" not in name and "third" not in name}
    assert not claims.over_windows("a", "b")({"metrics": alone}).known
    with pytest.raises(KeyError):
        claims.over_windows("a", "c")({"metrics": metrics})
    assert claims.WINDOWS == networks.SUFFIXES


def test_the_estimate_in_words():
    finding = claims.judge(CLAIM, {"chapter": made_up(-1.94, 3.54)})
    assert claims.described(CLAIM, finding) == "+0.8 points, 95 % interval \N{MINUS SIGN}1.9 to +3.5"
    single = claims.judge(CLAIM, {"chapter": made_up(math.nan, math.nan, value=1.0)})
    assert claims.described(CLAIM, single) == "+1.0 points, one value, without an interval"


def test_every_claim_is_on_the_page_of_results_and_none_is_named_that_there_is_not():
    assert len(claims.BY_NAME) == len(claims.CLAIMS)
    assert {claim.chapter for claim in claims.CLAIMS} <= {*profiles.CHAPTERS, "06-proxylessnas", "09-pruning"}
    for path in sorted((paths.root() / "notebooks").glob("*.ipynb")):
        shown = results.shown_claims(nbformat.read(path, as_version=4).cells)
        assert set(shown) <= set(claims.BY_NAME)
        assert len(set(shown)) == len(shown)
        if path.stem == results.NAME:
            assert shown == list(claims.BY_NAME)
        else:
            assert all(claims.BY_NAME[name].chapter == path.stem for name in shown), path.stem


def test_the_published_sets_lie_where_publishing_puts_them():
    assert publish.PUBLISHED == results.BOOK
    assert results.published(results.BOOK) == publish.executed()
    assert results.published("quick") == publish.executed() / "records" / "quick"


def test_a_handout_has_the_claims_without_a_state():
    text = markdown.markdown("Before.\n\n```{claim}\nsoft-above-hard\nimages-above-noise\n```\n\nAfter.", {})
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        f"- *A claim:* {claims.BY_NAME[name].text}" for name in ("soft-above-hard", "images-above-noise")
    ]
