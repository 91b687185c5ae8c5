"""Random overrides and damaged files, against `plan` and `compute`: nothing but a result or one line may come out.

    python tests/fuzz.py [--share 1.0] [--seed 0]

Both commands are called in this process, and a computation is stopped at its first step: what is refused before that is
refused as a user would see it. A case fails where an exception escapes, where the exit code is neither 0 nor 2, where
a refusal is not one line, and where `plan` and `compute` do not refuse the same settings.
"""

import contextlib
import dataclasses
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import typing
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import typer
from PIL import Image
from safetensors.torch import save_file

from dfnas import __main__, models, profiles
from dfnas.chapters.proxylessnas import latency
from dfnas.data import teachers
from dfnas.kernels import image_update
from dfnas.runtime import processes, stages
from dfnas.synthesis import sets

OVERRIDES, FILES = 500, 200
SECONDS = 20  # of a command: what takes longer before its first step computes something
MEMORY_MB = 300  # by the plan: what needs more is stopped before its first stage, not at its first step
BYTES = 6 * 2**30  # of address space, beyond what this process has
SET = ["synthesis.images=40", "synthesis.batch=20", "synthesis.stages=((2, 1, 'grow'),)"]
SET += [
    "run.checkpoint_seconds=0",
    "synthesis.learning_rates=(0.1,)",
    "evaluation.ablation_images=20",
    "student.seeds=1",
]
# What a machine lacks no plan asks for, and images are decoded when they are needed.
MACHINE = ("torch sees no GPU", "no CIFAR-10", "no ImageNet", "--data", "timm", "cannot be read")
CHAPTERS = {  # in which an override of a part matters
    "calibration": ["03-calibration"],
    "darts": ["04-darts"],
    "spos": ["05-spos"],
    "proxylessnas": ["06-proxylessnas"],
    "consistency": ["07-consistency"],
    "truth": ["08-truth"],
    "pruning": ["09-pruning"],
    "distillation": ["10-distillation"],
    "kernels": ["11-kernels"],
    "evaluation": ["02-synthesis"],
    "teacher": ["01-teacher", "02-synthesis"],
    "student": ["02-synthesis", "10-distillation"],
}
NONSENSE = [
    "", " ", "nan", "inf", "-inf", "1e400", "-1", "0", "1", "2", "0.5", "1e-300", "1e9", "10**9", "9" * 40, "0x10",
    "None", "null", "true", "False", "yes", "()", "(,)", "(1,)", "[1, 2]", "((1, 2), (3, 4))", "((4, 9, 'grow'),)",
    "(0.5, 0.9)", "{}", "{'a': 1}", "'", '"', "''", "'a", '"a\'', "a b", "a=b", "=", "\u00fc\u4e2d\U0001f600", "\u0661",
    "\u221e", "\x00", "a\nb", "\x1b[31m", "(" * 300, "1+1j", "lambda: 0", "__import__('os')", "b'x'", "...", "a" * 3000,
    "~", ".", "/", "/etc/passwd", "resnet8", "resnet", "resnet9999999", "resnet8x0", "spos:1", "darts:", "proxyless:x",
    "timm:x", "torchvision:x", "os:getcwd", "os:", ":", "-", "--set", "1_000", "1,000", "0b1", "1e1_0", "(0.1,) * 4",
    "(0.1, 0.1, 0.1, 0.1)", "(2, 1)", "((8, 0.5),)",
]  # fmt: skip


class Computes(BaseException):
    """The command would compute now."""


def refuse(*_: Any, **__: Any) -> typing.NoReturn:
    raise Computes


@contextlib.contextmanager
def patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Inside, attributes are others."""
    before = [(where, name, getattr(where, name)) for where, name, _ in changes]
    try:
        for where, name, value in changes:
            setattr(where, name, value)
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


STEPS = [  # what only happens once a stage computes in earnest
    (torch.optim.SGD, "step", refuse),
    (torch.optim.Adam, "step", refuse),
    (image_update, "image_update", refuse),
    (latency, "timings", refuse),
    (subprocess, "run", refuse),
    (processes, "_processes", lambda run: 1),
]


def call(arguments: list[str], at_once: bool = False) -> tuple[int | None, list[str]]:
    """Exit code (None: it would compute) and complaints of a command; raises what escapes from it."""
    out, err = io.StringIO(), io.StringIO()
    at_work = [(stages, "_work", refuse)] if at_once else []
    signal.signal(signal.SIGALRM, refuse)
    signal.alarm(SECONDS)
    try:
        with (
            patched(*STEPS, *at_work, (os, "environ", dict(os.environ))),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code: int | None = __main__.main(arguments)
    except Computes:
        code = None
    finally:
        signal.alarm(0)
    return code, err.getvalue().splitlines()


@dataclasses.dataclass
class Case:
    """What is tried: options of both commands, in a folder of its own where it brings files."""

    kind: str
    chapter: str
    options: list[str]
    other: str = "plan"  # the command beside `compute`; only what plans read is refused by both


def judge(case: Case) -> tuple[str, str]:
    """What came of a case, and what is wrong with that ("": nothing)."""
    rows, results = Path(os.environ["DFNAS_RUNS"]) / "plan.json", []
    for command in ("compute",) if case.other == "none" else (case.other, "compute"):
        arguments = [command, *([] if command == "status" else [case.chapter]), *case.options]
        try:
            if command == "plan":
                code, lines = call([*arguments, "--out", str(rows)])
            else:
                whole = case.other != "plan" or (results[0][0] == 0 and all(map(fits, read(rows))))
                code, lines = call(arguments, at_once=not whole)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, too
            return "escaped", f"{command}: {''.join(traceback.format_exception(error)[-4:])}"
        if code not in (0, 2, None):
            return "another exit code", f"{command}: exit code {code}: {lines}"
        if code == 2 and (len(lines) != 1 or not lines[0].startswith("dfnas: ") or not lines[0].isprintable()):
            return "not one line", f"{command}: {lines}"
        results.append((code, lines[0] if code == 2 else ""))
    (planned, why), (computed, reason) = results[0], results[-1]
    if case.other == "plan" and not any(word in reason for word in MACHINE):
        if planned != 2 and computed == 2:
            return "accepted by plan alone", f"compute: {reason}"
        if planned == 2 and computed != 2:
            return "refused by plan alone", f"plan: {why}"
    return "refused" if computed == 2 else "accepted", ""


def fits(row: dict[str, Any]) -> bool:
    return (row["memory_mb"] or 0) < MEMORY_MB


def read(plan: Path) -> list[dict[str, Any]]:
    return json.loads(plan.read_text(encoding="utf-8"))["rows"]


# Overrides.


def leaves(part: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, kind and value of all fields."""
    for name, kind in typing.get_type_hints(type(part), include_extras=True).items():
        value = getattr(part, name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{place}{name}.")
        elif place:
            yield f"{place}{name}", kind, value


def near(kind: Any, value: Any, draw: random.Random) -> Any:
    """A value of a kind, or just beyond it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return draw.choice(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        items = [near(arguments[0], item, draw) if draw.random() < 0.3 else item for item in value]
        items += [near(arguments[0], None, draw)] if draw.random() < 0.3 else []
        return tuple(items[: draw.choice((len(items), len(items), 1))])
    if origin is tuple:
        return tuple(near(item, old, draw) for item, old in zip(arguments, value or (1,) * len(arguments)))
    plain = arguments[0] if origin is Annotated else kind
    if plain is bool:
        return draw.choice((True, False))
    if plain is int:
        value = value if isinstance(value, int) else 4
        return draw.choice((0, 1, 2, 3, 5, 7, 10, 64, 1000, 10**6, 10**9, value + 1, value - 1, 2 * value, value // 2))
    if plain is float:
        value = value if isinstance(value, (int, float)) else 0.5
        return draw.choice((0, 0.0, 1, 1.0, 0.5, 1e-9, 1e9, 0.999, -0.1, 2 * value, value / 2, value))
    return draw.choice((value, f"{value}x", *NONSENSE))


def misspelt(name: str, draw: random.Random) -> str:
    """A name with a letter dropped, doubled, swapped, in capitals or from another alphabet."""
    at = draw.randrange(len(name))
    changes = ("", name[at] * 2, name[at].upper(), "\u0430", " ", ".", "\x00", name[at] + "=")
    return name[:at] + draw.choice(changes) + name[at + 1 :]


def override(draw: random.Random) -> tuple[str, str]:
    """The part that it is of, and an override."""
    name, kind, value = draw.choice([*leaves(profiles.load("smoke"))])
    part, chance = name.partition(".")[0], draw.random()
    text = str(near(kind, value, draw)) if chance < 0.6 else draw.choice(NONSENSE)
    if chance > 0.9:
        name = misspelt(name, draw)
    return part, f"{name}{draw.choice(('=', '=', '=', '=', ' = ', '' if chance > 0.97 else '='))}{text}"


def of_overrides(draw: random.Random) -> Case:
    """One override, or two or three of which the first says the chapter."""
    drawn = [override(draw) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    chapter = draw.choice(CHAPTERS.get(drawn[0][0]) or profiles.CHAPTERS[:10])
    return Case("override", chapter, ["--profile", "smoke", *(word for _, text in drawn for word in ("--set", text))])


# Files.


def damaged(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """A file that was cut, of which some bytes were flipped or zeroed, or that was swapped for another."""
    how = draw.choice(("cut", "flipped", "flipped", "head", "zeroed", "swapped", "empty", "twice"))
    if how == "cut":
        return content[: draw.randrange(len(content))]
    if how in ("flipped", "head"):  # anywhere, or where a file says what it is
        changed = bytearray(content)
        for _ in range(draw.choice((1, 3, 20))):
            changed[draw.randrange(min(len(content), 200) if how == "head" else len(content))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if how == "zeroed":
        start = draw.randrange(len(content))
        return content[:start] + bytes(len(content) - start)
    return {"swapped": draw.choice(others), "empty": b"", "twice": content * 2}[how]


def weights(name: str) -> bytes:
    """A network's weights as a file of the kind that the name says."""
    torch.manual_seed(0)
    state, buffer = models.build("resnet8", 10, 1).state_dict(), io.BytesIO()
    if name.endswith(".pt"):
        torch.save(state, buffer)
        return buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        save_file(state, f"{folder}/a")
        return Path(folder, "a").read_bytes()


def archive() -> bytes:
    """A zip of images of ten classes, three each to learn from and one to judge by."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(40):
            image, split = io.BytesIO(), ("train", "train", "train", "test")[number % 4]
            Image.fromarray(np.full((16, 16), 6 * number, np.uint8)).save(image, "PNG")
            archive.writestr(f"{split}/{number // 4}/{number}.png", image.getvalue())
    return buffer.getvalue()


TABLE = "architecture,accuracy,macs,parameters\n" + "".join(
    f"|nor_conv_3x3~0|+|{name}~0|none~1|+|none~0|avg_pool_3x3~1|none~2|,0.9{number},{number}000,{number}00\n"
    for number, name in enumerate(("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"))
)
PROFILE = """# Mine.
base = "smoke"
[student]
training.steps = 9  # few
labels = "stored"
[synthesis]
stages = [[4, 10, "grow"], [2, 10, "grow"], [1, 10, "grow"]]
"""


def latencies() -> bytes:
    """A latency table of smoke's operators, made up: measuring takes seconds."""
    settings = profiles.load("smoke")
    times = {"low": 1.0, "median": 1.0, "high": 1.0}
    table = {"format": latency.FORMAT, "unit": "milliseconds", **latency.conditions(settings), "bias": 0.0}
    names = {name for chain in latency.chains(settings) for name, _ in chain}
    return json.dumps({**table, "operators": dict.fromkeys(sorted(names), times)}, indent=1).encode()


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file: where it lies, how a command is told of it, the chapters that read it."""

    file: str  # below the case's folder, or below runs/ of what was computed before; the first that fits the pattern
    options: list[str]  # "{file}" stands for the file
    chapters: tuple[str, ...]
    content: bytes = b""
    other: str = "plan"


def kinds() -> dict[str, Kind]:
    """All kinds of files."""
    smoke, asked = ["--profile", "smoke"], ("01-teacher", "02-synthesis", "05-spos")
    small = [*smoke, *(word for text in SET for word in ("--set", text))]
    own = [*smoke, "--set", "teacher.path={file}"]
    images = [*smoke, "--set", "data.name=folder", "--data"]
    executed = Path(__file__).parents[1] / "book" / "executed"
    record = (executed / "02-synthesis.json").read_bytes()
    return {
        "weights.safetensors": Kind("own.safetensors", own, asked, weights("own.safetensors")),
        "weights.pt": Kind("own.pt", own, asked, weights("own.pt")),
        "weights in a folder": Kind("own/model.safetensors", [*smoke, "--set", "teacher.path={folder}"], asked),
        "card": Kind("own/card.json", [*smoke, "--set", "teacher.path={folder}"], asked),
        "profile": Kind("mine.toml", ["--profile", "{file}"], asked, PROFILE.encode()),
        "table": Kind("t.csv", [*smoke, "--set", "truth.table={file}"], ("08-truth",), TABLE.encode()),
        "latencies": Kind(
            "latency.json",
            [*smoke, "--set", "proxylessnas.cost=latency", "--set", "proxylessnas.latency_table={file}"],
            ("06-proxylessnas",),
            latencies(),
        ),
        "images": Kind("images.zip", [*images, "{file}"], asked, archive()),
        "decoded images": Kind("runs/cache/folder-*", [*images, "{base}/images.zip"], ("01-teacher",), other="none"),
        "shard": Kind("runs/stages/synthesis-*/*.safetensors", small, ("02-synthesis",), other="none"),
        "stage": Kind("runs/stages/synthesis-*/stage.json", small, ("02-synthesis",), other="none"),
        "checkpoint": Kind("runs/stages/*.partial/checkpoint.pt", small, ("02-synthesis",), other="none"),
        "sittings": Kind("runs/stages/*.partial/sittings.json", small, ("02-synthesis",), other="none"),
        "record": Kind("runs/smoke/02-synthesis.json", smoke, ("12-results",), record, other="status"),
    }


def prepare(base: Path, known: dict[str, Kind]) -> None:
    """What cases start from: whole files, and runs/ with a set, a killed training and decoded images."""
    shutil.copytree(teachers.SHIPPED / "digits-resnet8", base / "own")
    for kind in known.values():
        if kind.content:
            file = base / kind.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(kind.content)
    shutil.copy(Path(__file__).parents[1] / "book" / "executed" / "02-synthesis.ipynb", base / "runs" / "smoke")
    os.environ["DFNAS_RUNS"] = str(base / "runs")
    step, steps = torch.optim.SGD.step, iter(range(2))

    def stopped(self: Any, *arguments: Any) -> Any:
        return step(self, *arguments) if next(steps, None) is not None else refuse()

    with contextlib.suppress(Computes), patched((torch.optim.SGD, "step", stopped)):
        __main__.main(["compute", *known["shard"].chapters, *known["shard"].options])
    call(["compute", "01-teacher", *known["images"].options[:-1], str(base / "images.zip")])
    settings = profiles.load(
        "smoke"
    )  # its set, so that overrides of what comes after are tried by the step that learns
    os.environ["DFNAS_RUNS"] = str(base / "runs" / "whole")
    sets.set_stage("synthesis", settings, teachers.load(settings), settings.synthesis)


def of_a_file(draw: random.Random, base: Path, folder: Path, name: str, kind: Kind, whole: bool = False) -> Case:
    """A command that reads a damaged file, or a whole one, in a folder of its own."""
    shutil.copytree(base, folder)
    file = draw.choice(sorted(folder.glob(kind.file)))
    others = [path.read_bytes() for path in sorted(base.iterdir()) if path.is_file() and path.name != file.name]
    if not whole:
        file.write_bytes(damaged(file.read_bytes(), others, draw))
    os.environ["DFNAS_RUNS"] = str(folder / "runs")
    places = {"file": file, "folder": file.parent, "base": base}
    return Case(name, draw.choice(kind.chapters), [word.format(**places) for word in kind.options], kind.other)


def run(share: float, seed: int, show: Callable[[str], Any] = print) -> tuple[Counter, list[str]]:
    """Outcomes by kind and outcome, and what was wrong."""
    warnings.simplefilter("ignore")
    limit = resource.getrlimit(resource.RLIMIT_AS)
    virtual = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + BYTES, limit[1]))
    outcomes, faults, known = Counter[tuple[str, str]](), [], kinds()
    numbers = range(round(share * (OVERRIDES + FILES)))
    with tempfile.TemporaryDirectory() as work, patched((os, "environ", os.environ.copy())):
        base, folder = Path(work, "base"), Path(work, "case")
        prepare(base, known)
        for number in (*known, *numbers):
            draw, start = random.Random(f"{seed} {number}"), time.perf_counter()
            if isinstance(number, str):
                case = of_a_file(draw, base, folder, number, known[number], whole=True)
            elif number % 7 < 2:  # FILES of all
                name = draw.choice([*known])
                case = of_a_file(draw, base, folder, name, known[name])
            else:
                shutil.copytree(base / "runs" / "whole", folder / "runs")
                os.environ["DFNAS_RUNS"] = str(folder / "runs")
                case = of_overrides(draw)
            outcome, fault = judge(case)
            if outcome == "refused" and isinstance(number, str):
                fault = f"a whole file is refused: {call(['compute', case.chapter, *case.options])}"
            outcomes[case.kind, outcome] += 1
            if fault:
                faults.append(f"{number}: {case.kind}: {outcome}: {case.chapter} {case.options}\n  {fault}")
                show(faults[-1])
            if time.perf_counter() - start > SECONDS / 2:
                show(f"{number}: {case.kind}: {time.perf_counter() - start:.0f} s: {case.chapter} {case.options}")
            shutil.rmtree(folder)
    resource.setrlimit(resource.RLIMIT_AS, limit)
    return outcomes, faults


def main(
    share: Annotated[float, typer.Option(help="of the cases, from the first on")] = 1.0,
    seed: Annotated[int, typer.Option(help="another one draws other cases")] = 0,
) -> None:
    """Try them, and tell what came of each kind."""
    start = time.perf_counter()
    outcomes, faults = run(share, seed)
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{count:4d}  {kind}: {outcome}")
    print(f"{outcomes.total()} cases, {len(faults)} faults, {time.perf_counter() - start:.0f} s")
    raise typer.Exit(bool(faults))


if __name__ == "__main__":
    typer.run(main)
