"""The claims of the book: sentences with an estimate, which the records of a set of runs decide or leave open.

A claim's state is never typed. It cannot be told where the experiment did not have what it needs (`gates`). Else it is
computed from the interval of its estimate: the claim holds where the whole interval is above the limit, 0 or a margin
below it; does not hold where it is below; and is not decided where the limit lies inside. Claims about the method are
many, so each has to be decided at Holm's level for their number too, with its interval's p-value (`Interval.p_value`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dfnas.records import gates
from dfnas.records.gates import WINDOWS, Gate, Record
from dfnas.records.metrics import interval, summary
from dfnas.runtime import statistics
from dfnas.runtime.statistics import Interval
from dfnas.runtime.t_distribution import quantile

STATES = ("holds", "does_not_hold", "not_decided", "cannot_tell", "not_run")
HOLDS, FAILS, UNDECIDED, CANNOT_TELL, NOT_RUN = STATES
METHOD, SANITY = KINDS = ("method", "sanity")
LEVEL = 0.05
# Points under which a data set's test images cannot tell two accuracies apart, whatever the seeds say.
RESOLUTION = {"digits": 3.0}
RESOLVED = "the least that these test images tell"
TEST_IMAGES = {"digits": 360, "cifar10": 10_000, "imagenet": 50_000}


@dataclass(frozen=True)
class Claim:
    """A sentence about a chapter's runs.

    `estimate` takes the chapter's record and gives the quantity that the sentence says is above 0, with its 95 %
    interval, in `unit`; it raises KeyError where the record does not have it. A claim that something is not worse is a
    test of equivalence from one side: `margin` is by how much it may be worse, and the sentence says so. `gates` are
    what the experiment needs. A sanity check (`kind`) would fail only if something is broken.
    """

    name: str
    chapter: str
    text: str
    estimate: Callable[[Record], Interval]
    margin: float = 0.0
    unit: str = "points"
    gates: tuple[Gate, ...] = ()
    kind: str = METHOD


@dataclass(frozen=True)
class Finding:
    """What the records say of a claim; no estimate where the chapter was not run.

    `reason`: why nothing is told or decided, where the interval does not say; `p_value`: nan where nothing was tested;
    `takes`: how many times as many repeats would decide it (`against` it?), if estimate and spread stayed, or nan.
    """

    state: str
    estimate: Interval | None = None
    reason: str = ""
    p_value: float = math.nan
    takes: float = math.nan
    against: bool = False

    @property
    def words(self) -> str:
        """The state as pages write it."""
        return self.state.replace("_", " ")

    @property
    def outlook(self) -> str:
        """What it would take to decide it, as a sentence; nothing where more repeats are not what is lacking."""
        if math.isnan(self.takes):
            return ""
        if math.isinf(self.takes):
            return "If estimate and spread stayed, not even a hundred times as many repeats would decide it."
        times = "twice" if self.takes == 2 else f"{self.takes} times"
        how = ", against the claim" if self.against else ""
        return f"If estimate and spread stayed, {times} as many repeats would decide it{how}."


def findings(records: Mapping[str, Record]) -> dict[str, Finding]:
    """What the records of one set of runs, by chapter, say of each claim, by name.

    The p-values of claims about the method are Holm's, over all that were tested; what they do not bear is not decided.
    """
    found = {claim.name: judge(claim, records) for claim in CLAIMS}
    tested = [claim.name for claim in CLAIMS if claim.kind == METHOD and found[claim.name].p_value >= 0]
    for name, p in zip(tested, statistics.holm([found[name].p_value for name in tested]), strict=True):
        found[name] = replace(found[name], p_value=p)
        if found[name].state in (HOLDS, FAILS) and p >= LEVEL:
            words = f"its interval alone would decide it, but it is one of {len(tested)} tests"
            found[name] = replace(found[name], state=UNDECIDED, reason=words)
    for claim in CLAIMS:
        finding = found[claim.name]
        if finding.state == UNDECIDED and finding.estimate is not None and RESOLVED not in finding.reason:
            level = LEVEL / len(tested) if claim.name in tested else LEVEL
            beyond = finding.estimate.shifted(claim.margin)
            found[claim.name] = replace(finding, takes=beyond.repeats(level), against=beyond.value < 0)
    return found


def judge(claim: Claim, records: Mapping[str, Record]) -> Finding:
    """The state of a claim by itself under the records of one set of runs, by chapter."""
    record = records.get(claim.chapter)
    if record is None:
        return Finding(NOT_RUN)
    try:
        estimate = claim.estimate(record)
    except KeyError:
        return Finding(NOT_RUN)
    answers = [gates.answer(gate, record) for gate in claim.gates]
    closed = [reason for passed, reason in answers if not passed]
    if closed:
        return Finding(CANNOT_TELL, estimate, "; ".join(closed))
    beyond, resolution = estimate.shifted(claim.margin), RESOLUTION.get(_data(record), 0.0)
    if claim.unit == "points" and abs(beyond.value) < resolution:
        words = f"{resolution:.0f} points are {RESOLVED}"
        return Finding(UNDECIDED, estimate, words, beyond.p_value())
    state = HOLDS if beyond.low > 0 else FAILS if beyond.high < 0 else UNDECIDED
    return Finding(state, estimate, p_value=beyond.p_value())


def _data(record: Record) -> str:
    return record.get("parameters", {}).get("data", {}).get("name", "")


def described(claim: Claim, finding: Finding) -> str:
    """The estimate in words: "+0.8 points, 95 % interval −1.9 to +3.5, p 0.46", and what p is against if not 0."""
    if finding.estimate is None:
        return f"there is no run of {claim.chapter} that says it"
    spec = "+.1f" if claim.unit == "points" else "+.2f"
    value, low, high = (format(end, spec).replace("-", "\N{MINUS SIGN}") for end in finding.estimate)
    ends = f"95 % interval {low} to {high}" if finding.estimate.known else "one value, without an interval"
    p = ", p < 0.001" if finding.p_value < 0.001 else f", p {finding.p_value:.2g}" if finding.p_value >= 0 else ""
    p += f" against \N{MINUS SIGN}{claim.margin:g}" if p and claim.margin else ""
    return f"{value} {claim.unit}, {ends}{p}" + (f"; {finding.reason}" if finding.reason else "")


def recorded(name: str, sign: float = 1.0) -> Callable[[Record], Interval]:
    """The interval that a record holds under a name; `sign` -1 turns a difference round."""
    return lambda record: interval(record, name).scaled(sign)


def over_supernets(name: str) -> Callable[[Record], Interval]:
    """`recorded`; an older record's, a bootstrap of few supernets, is widened as if it varied over these alone."""

    def estimate(record: Record) -> Interval:
        found, count = interval(record, name), record["metrics"].get("supernets", 1)
        if count < 2 or found.freedom != record["metrics"].get("architectures", math.inf) - 1:
            return found
        wider = math.sqrt(count / (count - 1)) * quantile(count - 1, 0.975) / quantile(found.freedom, 0.975)
        low, high = (found.value + wider * (end - found.value) for end in found[1:])
        return Interval(found.value, low, high, count - 1)

    return estimate


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


TAU = "in Kendall's coefficient"
# What a claim about searches on synthetic images says of their finds, by what these are compared with; its margin.
COMPARED = {
    "random": ("better than random ones of like cost", 0.0),
    "real": ("less than 1 point below those of real ones", 1.0),
    "control": ("better than those of the live control", 0.0),
}


# What a supernet of the live control reaches on held-out images of its own: finds are trained on real ones anyway.
LEARNT = {"04-darts": "held_out_control", "05-spos": "score_control"}


def _search(name: str, chapter: str, finds: str, other: str) -> Claim:
    says, margin = COMPARED[other]
    text = f"{finds} on synthetic images are {says}, trained from scratch on real images."
    sources = ("synthetic",) if other == "random" else ("synthetic", other)
    rival = "random_for_synthetic" if other == "random" else f"found_on_{other}"
    needs = [gates.repeated(*(f"searches_{source}" for source in sources))]
    needs += [gates.accurate("random_for_synthetic", 0.5), gates.matched("found_on_synthetic", rival)]
    needs += [gates.alive(LEARNT[chapter])] if other == "control" else []
    needs += [gates.decided(*sources)] if chapter != "05-spos" else []  # evolution has no distribution
    return Claim(name, chapter, text, recorded(f"difference_synthetic_{other}"), margin, gates=tuple(needs))


def _student(name: str, text: str, estimate: Callable[[Record], Interval], *others: Gate) -> Claim:
    # The arms' images are few: real ones teach as much by hard labels only where there are more.
    needs = (gates.repeated("sets"), gates.accurate("student_accuracy_real_soft_same_count", 0.6), *others)
    return Claim(name, "03-calibration", text, estimate, gates=needs)


def _truth(name: str, text: str, metric: str, margin: float = 0.0, unit: str = TAU, *others: Gate) -> Claim:
    needs = (gates.repeated("supernets"), gates.ceiling("tau_real_hard", "full trainings"), *others)
    needs += (gates.accurate("accuracy_scratch_real_hard_on_real", 0.4),)
    return Claim(name, "08-truth", text, (over_supernets if unit == TAU else recorded)(metric), margin, unit, needs)


def _ranking(name: str, text: str, front: str, part: str, *others: Gate) -> Claim:
    """`front` begins the names of the metrics, `part` those of the accuracies of the networks that are ranked."""
    needs = (gates.alive(f"{part}_control"), gates.ceiling(f"{front}tau_real_real"), *others)
    needs += (gates.accurate(f"{part}_real", 0.4),)
    return Claim(name, "07-consistency", text, recorded(f"{front}tau_difference"), unit=TAU, gates=needs)


PRUNED = gates.accurate("uniform", 0.6)
# A chapter's claims stand together: what it needs first, as gates, then what it says. They were written before the runs
# that decide them; one that is dropped is explained in the commit that drops it.
CLAIMS = (
    Claim(
        "student-above-chance",
        "02-synthesis",
        "A student that saw nothing but synthetic images is better than a guess on real ones.",
        above_chance("student_accuracy"),
        kind=SANITY,
    ),
    Claim(
        "images-above-noise",
        "03-calibration",
        "Synthetic images train a better student than noise with the same teacher's labels.",
        recorded("difference_noise_round0", -1),
        kind=SANITY,
    ),
    _student(
        "images-above-control",
        "Synthetic images train a better student than the live control with the same teacher's labels.",
        recorded("difference_control_round0", -1),
        gates.alive("student_accuracy_control"),
    ),
    _student(
        "soft-above-hard",
        "Stored soft labels train a better student than hard ones, on the same images.",
        recorded("difference_round0_hard"),
    ),
    _student(
        "calibrated-above-hard",
        "Images and labels of the last round train a better student than images of round 0 with hard labels.",
        recorded("difference_calibrated_hard"),
    ),
    _student(
        "calibrated-above-round0",
        "Images and soft labels of the last round train a better student than those of round 0.",
        recorded("difference_calibrated_round0"),
    ),
    _student(
        "region-above-jitter",
        "Images made by regional update train a better student than images made under wrap-around shifts.",
        recorded("difference_jitter_round0", -1),
    ),
    _search("darts-above-random", "04-darts", "Cells that DARTS finds", "random"),
    _search("darts-not-below-real", "04-darts", "Cells that DARTS finds", "real"),
    _search("darts-above-control", "04-darts", "Cells that DARTS finds", "control"),
    _search("spos-above-random", "05-spos", "Paths that SPOS finds", "random"),
    _search("spos-not-below-real", "05-spos", "Paths that SPOS finds", "real"),
    _search("spos-above-control", "05-spos", "Paths that SPOS finds", "control"),
    _search("proxylessnas-above-random", "06-proxylessnas", "Architectures that ProxylessNAS finds", "random"),
    _search("proxylessnas-not-below-real", "06-proxylessnas", "Architectures that ProxylessNAS finds", "real"),
    _ranking(
        "tau-above-control",
        "Synthetic images rank architectures more like real data than the live control does.",
        "",
        "darts",
    ),
    _ranking(
        "own-tau-above-control",
        "Judged by held-out images of their own source, networks of synthetic images rank more like those of real data "
        "than networks of the live control do.",
        "darts_own_",
        "darts",
    ),
    _ranking(
        "spos-tau-above-control",
        "Supernets on synthetic images rank paths more like those on real data than supernets on the live control do.",
        "spos_",
        "spos",
        gates.repeated("supernets"),
    ),
    _truth(
        "truth-tau-above-control",
        "Supernets on synthetic images rank architectures more like full trainings do than those on the live control.",
        "tau_difference_synthetic_control",
        0.0,
        TAU,
        gates.alive("accuracy_scratch_control_on_real"),
    ),
    _truth(
        "truth-tau-not-below-real",
        "Supernets on synthetic images rank architectures like full trainings do, less than 0.1 below those on as many "
        "real images with hard labels.",
        "tau_difference_synthetic_real_hard",
        0.1,
    ),
    _truth(
        "truth-evolution-above-random",
        "Evolution that asks supernets on synthetic images loses less, by full trainings, than random search that asks "
        "them as often.",
        "regret_gain_synthetic",
        unit="points",
    ),
    Claim(
        "pruned-above-uniform",
        "09-pruning",
        "Widths found with the PruningNet of synthetic images are better than uniform ones of like cost.",
        over_windows("pruned_on_synthetic", "uniform"),
        gates=(PRUNED, gates.matched("pruned_on_synthetic", "uniform")),
    ),
    Claim(
        "pruned-not-below-real",
        "09-pruning",
        "Widths found with the PruningNet of synthetic images are less than 1 point below those found with that of "
        "real ones.",
        over_windows("pruned_on_synthetic", "pruned_on_real"),
        margin=1.0,
        gates=(PRUNED, gates.matched("pruned_on_synthetic", "pruned_on_real")),
    ),
    Claim(
        "transfer-above-control",
        "10-distillation",
        "By the cheap recipe, a student of the whole synthetic set is better than one of as much of the live control.",
        recorded("difference_stored_control"),
        gates=(gates.alive("labels_control"), gates.accurate("labels_real", 0.7)),
    ),
    Claim(
        "more-images-help",
        "10-distillation",
        "More synthetic images train a better student, in the same number of steps.",
        recorded("difference_images_synthetic"),
        kind=SANITY,
    ),
    Claim(
        "transfer-not-below-real",
        "10-distillation",
        "A student of the synthetic set is less than 1 point below a student of as many real images.",
        recorded("difference_synthetic_real_same_count"),
        margin=1.0,
        gates=(gates.accurate("student_accuracy_real_same_count", 0.7),),
    ),
)
BY_NAME = {claim.name: claim for claim in CLAIMS}
