"""Chapters that nobody ran: records of made-up searches whose worth is known, with the spreads of published records."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dfnas import records
from dfnas.chapters.pruning import networks
from dfnas.chapters.pruning import results as pruning
from dfnas.data import origins
from dfnas.records import claims
from dfnas.runtime.statistics import Interval
from dfnas.search import standings

SEEDS, RANDOM = 3, 8  # trainings of a find, and random architectures
Metrics = Mapping[str, Any]


def _good() -> dict[str, float]:
    """Metrics of all chapters' records under which every claim holds."""
    good = {"student_accuracy": 0.5, "student_accuracy_std": 0.01, "student_accuracy_n": 3, "supernets": 2, "sets": 2}
    for ours, others in (("round0", "hard"), ("calibrated", "hard"), ("calibrated", "round0")):
        good |= _won(f"difference_{ours}_{others}")
    for other in ("noise", "control", "jitter"):
        good |= _won(f"difference_{other}_round0", -10.0)
    for other in ("random", "real", "control", "real_same_count"):
        good |= _won(f"difference_synthetic_{other}")
    for name in ("stored_control", "images_synthetic"):
        good |= _won(f"difference_{name}")
    for front in ("", "darts_own_", "spos_"):
        good |= _won(f"{front}tau_difference", 0.5) | _won(f"{front}tau_real_real", 0.5)
    for name in ("tau_difference_synthetic_control", "tau_difference_synthetic_real_hard", "tau_real_hard"):
        good |= _won(name, 0.5)
    good |= _won("regret_gain_synthetic") | {f"accuracy_scratch_{n}_on_real": 0.9 for n in ("control", "real_hard")}
    for name in ("student_accuracy", "darts", "spos", "labels"):
        good |= {f"{name}_control": 0.3} | {f"{name}_real{end}": 0.9 for end in ("", "_same_count", "_soft_same_count")}
    for name in ("synthetic", "real", "control"):
        good |= {f"searches_{name}": 2, f"entropy_start_{name}": 2.0, f"entropy_end_{name}": 1.5}
    good |= {"held_out_control": 0.3, "score_control": 0.3}
    arms = {"pruned_on_synthetic": 0.9, "pruned_on_real": 0.8, "uniform": 0.8}
    for end, more in zip(claims.WINDOWS, (0.0, 0.001, 0.002), strict=True):
        for name, value in arms.items():
            spread = more * (name == "pruned_on_synthetic")
            good |= {f"{name}{end}": value + spread, f"{name}{end}_std": 0.0, f"{name}{end}_n": 3}
            good |= {f"{name}{end}_macs": 1e6}
    macs = {f"{name}_macs": 1e6 for name in ("found_on_synthetic", "found_on_real", "found_on_control")}
    return good | macs | {"random_for_synthetic": 0.9, "random_for_synthetic_macs": 1e6}


def _won(name: str, value: float = 10.0) -> dict[str, float]:
    return records.flat({name: Interval(value, 0.9 * value, 1.1 * value, 9).scaled(1)})


GOOD = _good()


def sources(metrics: Metrics) -> list[str]:
    """The sources that a record has finds on."""
    return [name for name in origins.NAMES if f"found_on_{name}_std" in metrics]


def spreads(metrics: Metrics) -> tuple[float, float]:
    """The deviations of a search chapter's record: among random architectures, and among trainings of one of them."""
    within = float(np.mean([metrics[f"found_on_{name}_std"] ** 2 for name in sources(metrics)])) ** 0.5
    return max(metrics["random_std"] ** 2 - within**2, 0.0) ** 0.5, within


def arms(generator: np.random.Generator, metrics: Metrics, searches: int, shift: float) -> dict[str, dict[str, list]]:
    """A chapter whose searches draw their finds blindly; those on synthetic images are worth `shift` more."""
    among, within = spreads(metrics)

    def trained(count: int, seeds: int, mean: float) -> dict[str, list]:
        finds = mean + among * generator.normal(size=(count, 1))
        accuracy = (finds + within * generator.normal(size=(count, seeds))).ravel().tolist()
        columns = dict.fromkeys(("macs", "parameters"), [1] * len(accuracy))
        return columns | {"accuracy": accuracy, "search": [each for each in range(count) for _ in range(seeds)]}

    names = sources(metrics)
    found = {f"found_on_{name}": trained(searches, SEEDS, 0.5 + shift * (name == "synthetic")) for name in names}
    random = trained(RANDOM, 1, 0.5)
    return found | {f"random_for_{name}": random for name in names}


def chapter(found: Mapping[str, Any]) -> dict[str, Any]:
    """A record with these differences, whose other gates pass."""
    return {"metrics": GOOD | records.flat(found), "parameters": {"data": {"name": "cifar10", "classes": 10}}}


def decided(claim: claims.Claim, record: Mapping[str, Any], searches: int, chapters: int, seed: int = 0) -> float:
    """How often a claim is decided whose true value lies at its limit, among simulated chapters."""
    generator, count = np.random.default_rng(seed), 0
    for _ in range(chapters):
        found = standings.differences(arms(generator, record["metrics"], searches, -claim.margin / 100))
        count += claims.judge(claim, {claim.chapter: chapter(found)}).state in (claims.HOLDS, claims.FAILS)
    return count / chapters


def windows(generator: np.random.Generator, metrics: Metrics, count: int, among: float) -> pruning.Results:
    """A pruning chapter whose arms are worth the same; in a window each is one architecture, worth `among` or so more.

    Random encodings are each of their own; trainings spread as in the record's window.
    """
    found: pruning.Results = {}
    for arm in networks.ARMS[:-1]:
        found[arm] = {}
        for window, end in zip(range(count), networks.SUFFIXES, strict=False):
            number = metrics[f"{arm}{end}_n"]
            worth = among * generator.normal(size=number if arm == "random" else 1)
            within = metrics[f"uniform{end}_std"]
            found[arm][window] = {"accuracy": (worth + within * generator.normal(size=number)).tolist()}
    return found


def intervals(
    metrics: Metrics, count: int, chapters: int, among: float = 0.01, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """The pairs' intervals over windows, of simulated chapters in which every true difference is 0."""
    generator = np.random.default_rng(seed)
    for _ in range(chapters):
        found = windows(generator, metrics, count, among)
        yield {name: pruning.compared(found, *pair, range(count)) for name, pair in pruning.PAIRS.items()}
