"""The claims of the book: sentences with an estimate, which the records of a set of runs decide or leave open.

A claim's state is never typed. It is computed from the interval of its estimate: the claim holds where the whole
interval is above the limit, does not hold where it is below, and is not decided where the limit lies inside.
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

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """A sentence about a chapter's runs.

    `estimate` takes the chapter's record and gives the quantity that the sentence says is above `limit`, with its 95 %
    interval, in `unit`; it raises KeyError where the record does not have it.
    """

    name: str
    chapter: str
    text: str
    estimate: Callable[[Record], Interval]
    limit: float = 0.0
    unit: str = "points"


@dataclass(frozen=True)
class Finding:
    """What the records say of a claim; no estimate where the chapter was not run."""

    state: str
    estimate: Interval | None = None


def judge(claim: Claim, records: Mapping[str, Record]) -> Finding:
    """The state of a claim under the records of one set of runs, by chapter."""
    record = records.get(claim.chapter)
    if record is None:
        return Finding(NOT_RUN)
    try:
        estimate = claim.estimate(record)
    except KeyError:
        return Finding(NOT_RUN)
    data = record.get("parameters", {}).get("data", {}).get("name", "")
    coarse = claim.unit == "points" and abs(estimate.value - claim.limit) < RESOLUTION.get(data, 0.0)
    if not coarse and estimate.low > claim.limit:
        return Finding(HOLDS, estimate)
    if not coarse and estimate.high < claim.limit:
        return Finding(FAILS, estimate)
    return Finding(UNDECIDED, estimate)


def described(claim: Claim, finding: Finding) -> str:
    """The estimate in words: "+0.8 points, 95 % interval −1.9 to +3.5"."""
    if finding.estimate is None:
        return f"there is no run of {claim.chapter} that says it"
    spec = "+.1f" if claim.unit == "points" else "+.2f"
    value, low, high = (format(end, spec).replace("-", "\N{MINUS SIGN}") for end in finding.estimate)
    ends = f"95 % interval {low} to {high}" if finding.estimate.known else "one value, without an interval"
    return f"{value} {claim.unit}, {ends}"


def recorded(name: str, sign: float = 1.0) -> Callable[[Record], Interval]:
    """The interval that a record holds under a name; `sign` -1 turns a difference round."""
    return lambda record: interval(record, name).scaled(sign)


def apart(first: str, second: str) -> Callable[[Record], Interval]:
    """The difference in points of two accuracies that a record holds with their spread (Welch's interval)."""

    def estimate(record: Record) -> Interval:
        one, other = (summary(record, name) for name in (first, second))
        return statistics.difference_of(one, other).scaled(100)

    return estimate


def above_chance(name: str) -> Callable[[Record], Interval]:
    """How far an accuracy that a record holds with its spread is above that of a guess, in points."""

    def estimate(record: Record) -> Interval:
        chance = 1 / record["parameters"]["data"]["classes"]
        return statistics.interval_of(summary(record, name)).shifted(-chance).scaled(100)

    return estimate


ON_REAL = "trained from scratch on real images"
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
        "A supernet on synthetic images ranks paths more like one on real data than a supernet on noise does.",
        recorded("spos_tau_difference"),
        unit="in Kendall's coefficient",
    ),
    Claim(
        "darts-above-random",
        "04-darts",
        f"Cells that DARTS found on synthetic images are better than random ones of like cost, {ON_REAL}.",
        recorded("difference_synthetic_random"),
    ),
    Claim(
        "darts-not-below-real",
        "04-darts",
        f"Cells that DARTS found on synthetic images are less than one point below those of real ones, {ON_REAL}.",
        recorded("difference_synthetic_real"),
        limit=-1.0,
    ),
    Claim(
        "darts-above-noise",
        "04-darts",
        f"Cells that DARTS found on synthetic images are better than those found on noise, {ON_REAL}.",
        recorded("difference_synthetic_noise"),
    ),
    Claim(
        "spos-above-random",
        "05-spos",
        f"The path that SPOS found on synthetic images is better than random ones of like cost, {ON_REAL}.",
        recorded("difference_synthetic_random"),
    ),
    Claim(
        "spos-not-below-real",
        "05-spos",
        f"The path that SPOS found on synthetic images is less than one point below that of real ones, {ON_REAL}.",
        recorded("difference_synthetic_real"),
        limit=-1.0,
    ),
    Claim(
        "proxylessnas-above-random",
        "06-proxylessnas",
        f"What ProxylessNAS found on synthetic images is better than random architectures of like cost, {ON_REAL}.",
        apart("found_on_synthetic", "random"),
    ),
    Claim(
        "pruned-above-uniform",
        "09-pruning",
        "Widths that were searched on synthetic images are better than uniform ones of like cost.",
        recorded("difference_synthetic_uniform"),
    ),
    Claim(
        "pruned-not-below-real",
        "09-pruning",
        "Widths that were searched on synthetic images are less than one point below those searched on real ones.",
        recorded("difference_synthetic_real"),
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
