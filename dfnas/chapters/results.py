"""Results: every experiment beside the paper's number, from run records alone."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfnas import profiles, records
from dfnas.profiles import Settings
from dfnas.records import claims
from dfnas.runtime import paths, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.search.html_table import Table

VERSION = 1
NAME = "12-results"
BEFORE = profiles.CHAPTERS[: profiles.CHAPTERS.index(NAME)]
SCALES = (paths.BOOK, "quick")  # the small profiles, whatever runs
NOT_RUN = "not run here"
UNKNOWN = "not in our sources"
NO_BREAK = "\N{NO-BREAK SPACE}"
Sets = Mapping[str, Mapping[str, Mapping[str, Any]]]  # profile -> chapter -> record


@dataclass(frozen=True)
class Experiment:
    """A quantity of one of the paper's experiments.

    `metric` names it in the records of `chapter`; `paper` is the paper's number in words, where our sources know it,
    and `scale` the profile that has the paper's settings.
    """

    title: str
    chapter: str
    metric: str
    scale: str
    paper: str = UNKNOWN
    accuracy: bool = True  # else a number without a unit


IMAGENET, CIFAR10 = "paper-imagenet", "paper-cifar10"
# The two numbers of SPOS stand in the README of the authors' published code, as errors.
EXPERIMENTS = (
    Experiment("Labels: round 0, hard", "03-calibration", "student_accuracy_hard", CIFAR10),
    Experiment("Labels: round 0, soft", "03-calibration", "student_accuracy_round0", CIFAR10),
    Experiment("Labels: calibrated", "03-calibration", "student_accuracy_calibrated", CIFAR10),
    Experiment("Ranking: synthetic and real data", "07-consistency", "tau_synthetic_real", CIFAR10, accuracy=False),
    Experiment("Ranking: noise and real data", "07-consistency", "tau_noise_real", CIFAR10, accuracy=False),
    Experiment("DARTS on synthetic images", "04-darts", "found_on_synthetic", CIFAR10),
    Experiment("DARTS on real images", "04-darts", "found_on_real", CIFAR10),
    Experiment("SPOS on synthetic images", "05-spos", "found_on_synthetic", IMAGENET, "74.2%: error 25.8%, 316M MACs"),
    Experiment("SPOS on real images", "05-spos", "found_on_real", IMAGENET, "74.3%: error 25.7%, 319M MACs"),
    Experiment("ProxylessNAS on synthetic images", "06-proxylessnas", "found_on_synthetic", IMAGENET),
    Experiment("ProxylessNAS on real images", "06-proxylessnas", "found_on_real", IMAGENET),
    Experiment("Pruning on synthetic images", "09-pruning", "pruned_on_synthetic", IMAGENET),
    Experiment("Pruning on real images", "09-pruning", "pruned_on_real", IMAGENET),
    Experiment("Knowledge transfer", "10-distillation", "student_accuracy", IMAGENET),
    Experiment("… by as many real images", "10-distillation", "student_accuracy_real_same_count", IMAGENET),
)


def compute(settings: Settings) -> dict[str, Artefact]:
    """The one stage, which depends on every record that the page reads: a new one makes the page stale."""
    sets = gather(settings)
    found = {profile: digests(chapters) for profile, chapters in sets.items()}
    work = lambda folder: stages.write_json(folder / "digests.json", found)  # noqa: E731
    return {"results": stages.stage("results", work, {"records": found, "profile": settings.profile}, version=VERSION)}


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Nothing: it reads records."""
    return []


def gather(settings: Settings) -> dict[str, dict[str, dict[str, Any]]]:
    """The records of good runs, by profile and chapter: those of this run's own folder, and the published ones.

    Of the profile that runs, its own folder counts alone, and it comes first; of all others, what is published.
    """
    sets = {settings.profile: read_folder(paths.run_folder(settings))}
    for profile in profiles.NAMES:
        if profile not in sets:
            sets[profile] = read_folder(paths.published(profile))
    return sets


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of good runs in a folder, by chapter, without this chapter's own."""
    found = {name: records.read(folder / f"{name}.json") for name in BEFORE}
    return {name: record for name, record in found.items() if record and record.get("verdict") == "good"}


def digest(metrics: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of a record's metrics: no digit of them can change without changing these."""
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()[:12]


def digests(chapters: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The digests of some records, by chapter."""
    return {name: digest(record["metrics"]) for name, record in chapters.items()}


def cell(experiment: Experiment, chapters: Mapping[str, Mapping[str, Any]]) -> str:
    """Our value of an experiment's quantity with its spread, in words."""
    record = chapters.get(experiment.chapter, {"metrics": {}})
    try:
        if not experiment.accuracy:
            text = "{:+.2f} ({:+.2f} to {:+.2f})".format(*records.interval(record, experiment.metric))
            return text.replace("-", "\N{MINUS SIGN}")
        mean, deviation, number = records.summary(record, experiment.metric)
    except KeyError:
        return NOT_RUN
    spread = f"{100 * deviation:.1f}" if number > 1 else records.MISSING
    return f"{mean:.1%} ± {spread} (n = {number})".replace(" ", NO_BREAK).replace(f"{NO_BREAK}(", " (")


def experiments(sets: Sets, profile: str) -> Table:
    """Each of the paper's experiments: its number, ours at its scale, ours at the small scales."""
    shown = small(profile)
    rows = [
        [item.title, item.paper, cell(item, sets.get(item.scale, {})), *(cell(item, sets.get(p, {})) for p in shown)]
        for item in EXPERIMENTS
    ]
    return Table(
        ["Experiment", "Paper", "Ours, paper's scale", *(f"Ours, {p}" for p in shown)], rows, EXPERIMENTS_TITLE
    )


def states(sets: Sets, profile: str, kind: str = claims.METHOD) -> Table:
    """Each claim of a kind and its state in the small profiles."""
    judged = {shown: claims.findings(sets.get(shown, {})) for shown in small(profile)}
    rows = [
        [claim.text, *(_state(found[claim.name]) for found in judged.values())]
        for claim in claims.CLAIMS
        if claim.kind == kind
    ]
    title = {claims.METHOD: "Claims about the method", claims.SANITY: "Sanity checks"}[kind]
    return Table(["Claim", *judged], rows, f"{title}, and what the records of each profile say of them.")


def _state(finding: claims.Finding) -> str:
    reason = finding.reason.partition(",")[0]
    return f"{finding.words} ({reason})" if reason else finding.words


EXPERIMENTS_TITLE = (
    "The paper's experiments: accuracy on real test images (for rankings, Kendall's coefficient). "
    "± is one standard deviation over n: synthetic sets or searches where a record has several, else trainings."
)


def small(profile: str) -> list[str]:
    """The profiles that the page has columns for: the small ones, and the one that runs."""
    return list(dict.fromkeys([*SCALES, profile]))


def runs(sets: Sets) -> Table:
    """Which chapters each profile has a good record of, and at which commit."""
    shown = [profile for profile in dict.fromkeys([*profiles.NAMES, *sets]) if profile in SCALES or sets.get(profile)]
    rows = [[name, *(str(sets.get(p, {}).get(name, {}).get("commit", "—"))[:10] for p in shown)] for name in BEFORE]
    return Table(["Chapter", *shown], rows, "The records that this page reads: the commit of each.")


def estimates(chapters: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, float, float, float, str]]:
    """Name, estimate less limit with the ends of its interval, and state of each claim in points that was run."""
    found = []
    for name, finding in claims.findings(chapters).items():
        claim = claims.BY_NAME[name]
        if finding.estimate and claim.unit == "points":
            found.append((name, *finding.estimate.shifted(claim.margin), finding.words))
    return found


def metrics(sets: Sets, profile: str) -> dict[str, Any]:
    """For this chapter's record: a pure function of the records that it reads, which a test repeats."""
    found: dict[str, Any] = {}
    judged = claims.findings(sets.get(profile, {}))
    method, sanity = ([judged[each.name].state for each in claims.CLAIMS if each.kind == kind] for kind in claims.KINDS)
    found |= {f"claims_{state}": method.count(state) for state in claims.STATES}
    found |= {"claims": len(method), "sanity_holds": sanity.count(claims.HOLDS), "sanity": len(sanity)}
    for name, finding in judged.items():
        found[f"claim_{_identifier(name)}"] = finding.state
        if finding.estimate and finding.estimate.known:
            found[f"estimate_{_identifier(name)}"] = finding.estimate
    for read, chapters in sets.items():
        for name, value in digests(chapters).items():
            found[f"digest_{_identifier(read)}_{_identifier(name)}"] = value
    found["paper_scale_runs"] = sum(bool(sets.get(item.scale, {}).get(item.chapter)) for item in EXPERIMENTS)
    found["experiments"] = len(EXPERIMENTS)
    found["paper_numbers"] = sum(item.paper != UNKNOWN for item in EXPERIMENTS)
    return found


def _identifier(text: str) -> str:
    return text.replace("-", "_")
