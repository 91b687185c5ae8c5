"""How finds stand: by what they reach from scratch, beside one another's and random architectures of like cost."""

import json
from collections.abc import Mapping
from typing import Any

from dfnas.data import origins
from dfnas.profiles import ScratchSettings
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.synthesis.held_out import WORDS

# Finds on the one source beside finds on the other.
COMPARED = (
    *(("synthetic", other) for other in ("real", "real_soft", "control", "noise")),
    *(("real", other) for other in ("control", "noise")),
)
COLUMNS = ("accuracy", "macs", "parameters", "architecture", "search")
Arms = Mapping[str, Mapping[str, list[Any]]]  # arm, column: a value a training


def results(trained: Mapping[str, Artefact], measure: str = "accuracy") -> dict[str, dict[str, list[Any]]]:
    """What trainings came to, by arm: found_on_<source> (a value a training) and random (all).

    The columns are `COLUMNS`: the text of an architecture, its cost, the seed of the search that found it (0 for random
    ones), and as `accuracy` what came out by `measure`: the accuracy itself, or the agreement with the teacher on
    held-out images, where there is one. Without that measure there are no arms.
    """
    judged: dict[str, dict[str, float]] = {}
    if "judged" in trained:
        judged = json.loads((trained["judged"].folder / "judged.json").read_bytes())
    arms: dict[str, dict[str, list[Any]]] = {}
    for label, artefact in trained.items():
        if not label.startswith(("found-", "random-")):
            continue
        arm, search = "random", 0
        if label.startswith("found-"):
            source, seed, _ = label.removeprefix("found-").rsplit("-", 2)
            arm, search = f"found_on_{source}", int(seed)
        facts = json.loads((artefact.folder / "scratch.json").read_bytes()) | judged.get(label, {})
        if measure not in facts:
            continue
        facts |= {"accuracy": facts[measure], "search": search}
        columns = arms.setdefault(arm, {column: [] for column in COLUMNS})
        for column, values in columns.items():
            values.append(facts[column])
    return arms


def compared(arms: Arms, scratch: ScratchSettings) -> dict[str, Mapping[str, list[Any]]]:
    """The finds of `results`, and of the random ones those that each is compared with: `random_for_<source>`.

    `random` is `random_for_synthetic`; in `results` it is all of them.
    """
    finds = {arm: values for arm, values in arms.items() if arm != "random"}
    alike = {f"random_for_{name}": _alike(arms, name, scratch) for name in sources(arms)}
    return {**finds, "random": alike["random_for_synthetic"], **alike}


def _alike(arms: Arms, name: str, scratch: ScratchSettings) -> dict[str, list[Any]]:
    """The random ones that any find on a source is compared with.

    For each find, those whose multiply-adds differ by `tolerance` at most, and the nearest where fewer than `alike` do.
    """
    pool, rows = arms["random"], set[int]()
    for goal in set(arms[f"found_on_{name}"]["macs"]):
        far = [abs(value / goal - 1) for value in pool["macs"]]
        count = max(scratch.alike, sum(value <= scratch.tolerance for value in far))
        rows |= set(sorted(range(len(far)), key=far.__getitem__)[:count])
    return {column: [values[row] for row in sorted(rows)] for column, values in pool.items()}


def sources(arms: Arms) -> list[str]:
    """The sources whose finds are among arms."""
    return [name for name in origins.NAMES if f"found_on_{name}" in arms]


def told(trained: Mapping[str, Artefact], scratch: ScratchSettings) -> dict[str, Any]:
    """For a record, of the trainings of `band`: `worth`, `differences` and `ahead_of`, by all that judged them.

    Names are plain for networks that learned from real images, on test images; for those that did not they begin with
    `tested_`, and by their agreement with the teacher with `held_out_`; those of `spreads` are always plain.
    """
    fronts = {"accuracy": "tested_" if "judged" in trained else "", "agreement": "held_out_"}
    found: dict[str, Any] = {}
    for measure in WORDS:
        arms: Arms = results(trained, measure)
        if arms:
            found = spreads(arms) | found
            arms = compared(arms, scratch)
            ahead = {f"found_on_{name}_ahead_of": ahead_of(arms, name) for name in sources(arms)}
            values = worth(arms) | differences(arms) | ahead
            found |= {f"{fronts[measure]}{name}": value for name, value in values.items()}
    return found | {"tolerance": scratch.tolerance, "alike": scratch.alike, "trainings": scratch.seeds}


def worth(arms: Arms) -> dict[str, Any]:
    """For a record, of each arm: accuracy with its spread, and mean multiply-adds and parameters.

    The spread is over finds where an arm has several searches, else over the trainings of its one find.
    """
    found: dict[str, Any] = {}
    for arm, values in arms.items():
        found[arm] = statistics.summary(repeats(values))
        found |= {f"{arm}_{column}": statistics.mean(values[column]) for column in ("macs", "parameters")}
    return found


def spreads(arms: Arms) -> dict[str, float]:
    """For a record, in points: the deviations over trainings of one find, and over all random architectures.

    Where the first is not well below the second, one training does not tell architectures apart.
    """
    finds = [each for arm, values in arms.items() if arm != "random" for each in by_search(values)]
    random = statistics.deviation(arms["random"]["accuracy"])
    return {"spread_trainings": 100 * statistics.pooled_deviation(finds), "spread_random": 100 * random}


def by_search(values: Mapping[str, list[Any]]) -> list[list[float]]:
    """An arm's accuracies, a list a search: `search` says whose find was trained; without it there was one search."""
    searches = values.get("search", [0] * len(values["accuracy"]))
    pairs = list(zip(searches, values["accuracy"], strict=True))
    return [[accuracy for search, accuracy in pairs if search == each] for each in dict.fromkeys(searches)]


def repeats(values: Mapping[str, list[Any]]) -> list[float]:
    """What an arm's interval is over: a mean for each search; of one search alone, its find's trainings."""
    finds = by_search(values)
    return finds[0] if len(finds) == 1 else [statistics.mean(find) for find in finds]


def differences(arms: Arms) -> dict[str, Any]:
    """For a record, in points: each two sources' finds, and each source's finds and random ones of its cost.

    Intervals are over searches, and over random architectures. Where one of two sources was searched once, finds are
    paired by the seed of training, and the interval is that of these two finds alone. `searches_<source>` are counts,
    `arms` those of `compared`.
    """
    finds = {name: by_search(arms[f"found_on_{name}"]) for name in sources(arms)}
    ours = {name: repeats(arms[f"found_on_{name}"]) for name in finds}
    found: dict[str, Any] = {f"searches_{name}": len(each) for name, each in finds.items()}
    for one, other in COMPARED:
        if not {one, other} <= set(finds):
            continue
        several = min(len(finds[one]), len(finds[other])) > 1
        pair = (ours[one], ours[other]) if several else (finds[one][0], finds[other][0])
        between = statistics.difference if several else statistics.paired_difference
        found[f"difference_{one}_{other}"] = between(*pair).scaled(100)
    for name, values in ours.items():
        random = arms[f"random_for_{name}"]["accuracy"]
        found[f"difference_{name}_random"] = statistics.difference(values, random).scaled(100)
    return found


def ahead_of(arms: Arms, name: str) -> int:
    """How many of the random architectures of its cost a source's find is ahead of in the mean; `arms`: `compared`."""
    mean = statistics.mean(arms[f"found_on_{name}"]["accuracy"])
    return sum(value < mean for value in arms[f"random_for_{name}"]["accuracy"])
