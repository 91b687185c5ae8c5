"""SIGKILL at random instants: `python tests/kills.py [--kills 100] [--seed 0] [--runs 0.25] [CHAPTER...]`.

Chapters of the smoke profile are computed undisturbed. Then again, each start killed after a random part of the time
that the chapter takes, and started anew until one comes to its end; and all of it in another empty folder until there
have been enough kills, at most EACH of a chapter at a time. Some starts are `run`, of which the runner is killed, or
its kernel. What is left must be what the undisturbed chapters left: the same files, none half written, with the same
bytes, and JSON the same but for TIMES. Exit code 1 where something differs. Linux only. Not collected by pytest: a
hundred kills take half an hour, and test_kills.py has ten.
"""

import argparse
import hashlib
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a forked process finds no thread of its parent's

from dfnas import __main__, profiles
from dfnas.chapters import index

SMOKE = profiles.load("smoke").chapters
EACH = 5
OFTEN = ("--set", "run.checkpoint_seconds=0")  # so that a kill finds a training amid its checkpoints; no key has it
# Of the computation, not computed: how long it took, how quick it was, in what memory.
TIMES = {"seconds", "peak_memory_mb", "image_iterations_per_second", "latency_ms"}
# Stages that measure times, which differ between any two runs, and what is said of them or of what records there are.
MEASURED = ("proxyless-latency", "benchmarks", "06-proxylessnas", "11-kernels", "results", "12-results")
LEFT_OUT = {".locks", "sittings.json", "README.txt"}  # who waits for whom, seconds again, and an export's in words


def start(words: list[str], runs: Path) -> int:
    """A command of dfnas in a process of its own, which has everything imported already; returns the process."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()  # whatever a runner sends to its group stays there
        os.environ["DFNAS_RUNS"] = str(runs)
        log = os.open(f"{runs}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = __main__.main(words)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def end(process: int, seconds: float | None, chance: random.Random) -> int | None:
    """The exit code of a process; None where it was still there after so many seconds: then it is killed, or its child.

    Of a runner and its kernel chance says which.
    """
    watched = os.pidfd_open(process)
    ended, _, _ = select.select([watched], [], [], seconds)
    os.close(watched)
    if not ended:
        lists = Path(f"/proc/{process}/task").glob("*/children")
        children = [int(word) for each in lists for word in each.read_text(encoding="utf-8").split()]
        os.kill(chance.choice([process, *children]), signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if ended else None


def undisturbed(chapters: Sequence[str], runs: Path) -> dict[tuple[str, str], float]:
    """Compute and run chapters; returns the seconds that each takes, by command and chapter."""
    times = {}
    for chapter in chapters:
        for command in ("compute", "run"):
            begin = time.perf_counter()
            code = end(start([command, chapter, "--profile", "smoke"], runs), None, random.Random())
            if code:
                raise SystemExit(f"{command} {chapter} undisturbed: exit code {code}, see {runs}.log")
            times[command, chapter] = time.perf_counter() - begin
        times["run", chapter] += times["compute", chapter]  # which it does, where nothing is done yet
    return times


def killed(
    chapters: Sequence[str],
    runs: Path,
    times: dict[tuple[str, str], float],
    kills: int,
    by_run: float,
    chance: random.Random,
) -> Counter[str]:
    """Compute chapters, a part of the starts by `run`, against at most so many kills; returns which there were."""
    landed: Counter[str] = Counter()
    for chapter in chapters:
        code: int | None = None
        while code is None:
            command = "run" if chance.random() < by_run else "compute"
            spared = landed[chapter] == EACH or landed["run"] + landed["compute"] == kills
            seconds = None if spared else chance.uniform(0, times[command, chapter])
            code = end(start([command, chapter, "--profile", "smoke", *OFTEN], runs), seconds, chance)
            landed.update([command, chapter] if code is None else [])
        if code:
            raise SystemExit(f"{command} {chapter} after {landed[chapter]} kills: exit code {code}, see {runs}.log")
    return landed


def outcomes(runs: Path) -> dict[str, str]:
    """A digest of each file of a stage, by its path, and of each record, by its chapter."""
    found = {}
    for path in (runs / "stages").rglob("*"):
        name = str(path.relative_to(runs / "stages"))
        if path.is_file() and not LEFT_OUT & set(path.parts) and not name.startswith(MEASURED):
            found[name] = digest(path)
    for path in runs.glob("smoke*/*.json"):
        if not path.name.startswith(MEASURED):
            facts = json.loads(path.read_bytes())
            told = {name: facts.get(name) for name in ("verdict", "complete", "metrics", "stages", "attachments")}
            found[path.name] = json.dumps(timeless(told)) if "verdict" in facts else digest(path)
    return found


def digest(path: Path) -> str:
    """Of a file's bytes; of JSON without times."""
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        rows = [content] if path.suffix == ".json" else content.splitlines()
        content = json.dumps([timeless(json.loads(row)) for row in rows]).encode()
    elif path.suffix == ".safetensors":  # which writes facts in any order
        length = int.from_bytes(content[:8], "little")
        content = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True).encode() + content[8 + length :]
    return hashlib.sha256(content).hexdigest()


def timeless(value: Any) -> Any:
    """A value of JSON without TIMES."""
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def main(words: Sequence[str] | None = None) -> int:
    """Kill, compare and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.partition("`")[0])
    parser.add_argument("chapters", nargs="*", default=SMOKE)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=float, default=0.25, help="part of the starts that are `run`, not `compute`")
    parser.add_argument("--folder", type=Path, default=None, help="where all of it stays; none: nothing does")
    asked = parser.parse_args(words)
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    for chapter in asked.chapters:
        index.module(chapter)
    begin, chance, landed, passes, wrong = time.perf_counter(), random.Random(asked.seed), Counter(), 0, []
    times = undisturbed(asked.chapters, folder / "whole")
    whole = outcomes(folder / "whole")
    while (left := asked.kills - landed["run"] - landed["compute"]) > 0:
        passes += 1
        runs = folder / f"killed-{passes}"
        landed += killed(asked.chapters, runs, times, left, asked.runs, chance)
        print(
            f"pass {passes}: {left} kills were left, now {asked.kills - landed['run'] - landed['compute']}", flush=True
        )
        found = outcomes(runs)
        there = {name for name in whole if "/" in name} | set(found)  # a chapter that `compute` ended has no record
        wrong += [f"killed-{passes}: {name}" for name in sorted(there) if found.get(name) != whole.get(name)]
    print("\n".join(wrong))
    by = ", ".join(f"{count} of {name}" for name, count in sorted(landed.items()))
    print(f"{asked.kills} kills ({by}) in {passes} passes:", end=" ")
    print(f"{len(wrong)} of {passes * len(whole)} outcomes differ, {time.perf_counter() - begin:.0f} s")
    if asked.folder is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
