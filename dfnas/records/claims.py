"""The claims of the book: sentences with an estimate, which the records of a set of runs decide or leave open.

A claim's state is never typed. It is computed from the interval of its estimate: the claim holds where the whole
interval is above the limit, does not hold where it is below, and is not decided where the limit lies inside. An
interval over trainings of a single find, or over paths of a single supernet, decides nothing about searches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dfnas.records.metrics import interval, summary
from dfnas.runtime import statistics
from dfnas.runtime.statistics import Interval

HOLDS, FAILS, UNDECIDED, NOT_RUN = STATES = ("holds", "does not hold", "not decided", "not run")
# Points under which a data set's test images cannot tell two accuracies apart, whatever the seeds say.
RESOLUTION = {"digits": 3.0}
TEST_IMAGES = {"digits": 360, "cifar10": 10_000, "imagenet": 50_000}
# Counts in records of what claims are about, and why nothing is decided where there is one of it.
REPEATS = {
    "searches": "one search a source, so the interval is of these finds alone",
    "supernets": "one supernet a source, so the interval is over paths alone",
}
WINDOWS = ("", "_second", "_third")  # ends of the names of the pruning chapter's metrics

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """A sentence about a chapter's runs.

    `estimate` takes the chapter's record and gives the quantity that the sentence says is above `limit`, with its 95 %
    interval, in `unit`; it raises KeyError where the record does not have it. `repeats` are the metrics that count what
    the sentence is about, `searches_<source>` or `supernets`: each has to be 2 or more, and a record without it has 1.
    """

    name: str
    chapter: str
    text: str
    estimate: Callable[[Record], Interval]
    limit: float = 0.0
    unit: str = "points"
    repeats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What the records say of a claim; no estimate where the chapter was not run.

    `reason` says why nothing is decided where this is not for the width of the interval.
    """

    state: str
    estimate: Interval | None = None
    reason: str = ""


def judge(claim: Claim, records: Mapping[str, Record]) -> Finding:
    """The state of a claim under the records of one set of runs, by chapter."""
    record = records.get(claim.chapter)
    if record is None:
        return Finding(NOT_RUN)
    try:
        estimate = claim.estimate(record)
    except KeyError:
        return Finding(NOT_RUN)
    alone = [REPEATS[name.partition("_")[0]] for name in claim.repeats if record["metrics"].get(name, 1) < 2]
    if alone:
        return Finding(UNDECIDED, estimate, alone[0])
    coarse = claim.unit == "points" and abs(estimate.value - claim.limit) < RESOLUTION.get(_data(record), 0.0)
    if not coarse and estimate.low > claim.limit:
        return Finding(HOLDS, estimate)
    if not coarse and estimate.high < claim.limit:
        return Finding(FAILS, estimate)
    return Finding(UNDECIDED, estimate)


def _data(record: Record) -> str:
    return record.get("parameters", {}).get("data", {}).get("name", "")


def described(claim: Claim, finding: Finding) -> str:
    """The estimate in words: "+0.8 points, 95 % interval −1.9 to +3.5"."""
    if finding.estimate is None:
        return f"there is no run of {claim.chapter} that says it"
    spec = "+.1f" if claim.unit == "points" else "+.2f"
    value, low, high = (format(end, spec).replace("-", "\N{MINUS SIGN}") for end in finding.estimate)
    ends = f"95 % interval {low} to {high}" if finding.estimate.known else "one value, without an interval"
    return f"{value} {claim.unit}, {ends}" + (f"; {finding.reason}" if finding.reason else "")


def recorded(name: str, sign: float = 1.0) -> Callable[[Record], Interval]:
    """The interval that a record holds under a name; `sign` -1 turns a difference round."""
    return lambda record: interval(record, name).scaled(sign)


def over_windows(first: str, second: str) -> Callable[[Record], Interval]:
    """The difference in points of two arms of the pruning chapter: one mean a window, then Student's t over windows."""

    def estimate(record: Record) -> Interval:
        ends = [end for end in WINDOWS if f"{first}{end}" in record["metrics"]] or [""]
        ones, others = ([summary(record, f"{name}{end}").mean for end in ends] for name in (first, second))
        return statistics.paired_difference(ones, others).scaled(100)

    return estimate


def above_chance(name: str) -> Callable[[Record], Interval]:
    """How far an accuracy that a record holds with its spread is above a guess, in points; test images are a sample."""

    def estimate(record: Record) -> Interval:
        chance, images = 1 / record["parameters"]["data"]["classes"], TEST_IMAGES.get(_data(record), 0)
        return statistics.interval_of(summary(record, name), images=images).shifted(-chance).scaled(100)

    return estimate


# What a claim about searches on synthetic images says of their finds, by what these are compared with; and its limit.
COMPARED = {
    "random": ("better than random ones of like cost", 0.0),
    "real": ("less than one point below those of real ones", -1.0),
    "noise": ("better than those of noise", 0.0),
}


def _search(name: str, chapter: str, finds: str, other: str) -> Claim:
    says, limit = COMPARED[other]
    text = f"{finds} on synthetic images are {says}, trained from scratch on real images."
    counts = tuple(f"searches_{source}" for source in ("synthetic", other) if source != "random")
    return Claim(name, chapter, text, recorded(f"difference_synthetic_{other}"), limit, repeats=counts)


CLAIMS = (
    Claim(
        "student-above-chance",
        "02-synthesis",
        "A student that saw nothing but synthetic images is better than a guess on real ones.",
        above_chance("student_accuracy"),
    ),
    Claim(
        "images-above-noise",
        "03-calibration",
        "Synthetic images train a better student than noise with the same teacher's labels.",
        recorded("difference_noise_round0", -1),
    ),
    Claim(
        "soft-above-hard",
        "03-calibration",
        "Stored soft labels train a better student than hard ones, on the same images.",
        recorded("difference_round0_hard"),
    ),
    Claim(
        "calibrated-above-hard",
        "03-calibration",
        "Images and labels of the last round train a better student than images of round 0 with hard labels.",
        recorded("difference_calibrated_hard"),
    ),
    Claim(
        "calibrated-above-round0",
        "03-calibration",
        "Images and soft labels of the last round train a better student than those of round 0.",
        recorded("difference_calibrated_round0"),
    ),
    Claim(
        "region-above-jitter",
        "03-calibration",
        "Images made by regional update train a better student than images made under wrap-around shifts.",
        recorded("difference_jitter_round0", -1),
    ),
    Claim(
        "tau-above-noise",
        "07-consistency",
        "Synthetic images rank architectures more like real data than noise does.",
        recorded("tau_difference"),
        unit="in Kendall's coefficient",
    ),
    Claim(
        "own-tau-above-noise",
        "07-consistency",
        "Judged by held-out images of their own source, networks of synthetic images rank more like those of real data "
        "than networks of noise do.",
        recorded("darts_own_tau_difference"),
        unit="in Kendall's coefficient",
    ),
    Claim(
        "spos-tau-above-noise",
        "07-consistency",
        "Supernets on synthetic images rank paths more like those on real data than supernets on noise do.",
        recorded("spos_tau_difference"),
        unit="in Kendall's coefficient",
        repeats=("supernets",),
    ),
    _search("darts-above-random", "04-darts", "Cells that DARTS finds", "random"),
    _search("darts-not-below-real", "04-darts", "Cells that DARTS finds", "real"),
    _search("darts-above-noise", "04-darts", "Cells that DARTS finds", "noise"),
    _search("spos-above-random", "05-spos", "Paths that SPOS finds", "random"),
    _search("spos-not-below-real", "05-spos", "Paths that SPOS finds", "real"),
    _search("proxylessnas-above-random", "06-proxylessnas", "Architectures that ProxylessNAS finds", "random"),
    Claim(
        "pruned-above-uniform",
        "09-pruning",
        "Widths that were searched with this PruningNet of synthetic images are better than uniform ones of like cost.",
        over_windows("pruned_on_synthetic", "uniform"),
    ),
    Claim(
        "pruned-not-below-real",
        "09-pruning",
        "Widths that were searched with this PruningNet of synthetic images are less than one point below those that "
        "were searched with that of real ones.",
        over_windows("pruned_on_synthetic", "pruned_on_real"),
        limit=-1.0,
    ),
    Claim(
        "transfer-above-noise",
        "10-distillation",
        "By the cheap recipe, a student of the whole synthetic set is better than one of as much noise.",
        recorded("difference_stored_noise"),
    ),
    Claim(
        "more-images-help",
        "10-distillation",
        "More synthetic images train a better student, in the same number of steps.",
        recorded("difference_images_synthetic"),
    ),
    Claim(
        "transfer-not-below-real",
        "10-distillation",
        "A student of the synthetic set is less than one point below a student of as many real images.",
        recorded("difference_synthetic_real_same_count"),
        limit=-1.0,
    ),
)
BY_NAME = {claim.name: claim for claim in CLAIMS}
