"""The command line: python -m dfnas COMMAND."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

# Before torch, here and in every kernel that this process starts: threads that wait for
# longer than half a millisecond must not take another's core.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import typer
from tabulate import tabulate

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.profiles import Settings
from dfnas.publishing import measurements, runner
from dfnas.publishing import publish as publishing
from dfnas.publishing import render as rendering
from dfnas.publishing import status as states
from dfnas.runtime import paths
from dfnas.runtime.files import write_json

STOPPED = 130  # the shell's exit code for what Ctrl-C ended

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Data-free neural architecture search: run, judge, publish and render the book's chapters.",
)

Chapters = Annotated[list[str] | None, typer.Argument(help="as 01-teacher; none: all of the profile")]
Profile = Annotated[str, typer.Option(help="smoke, quick, laptop, paper-cifar10, paper-imagenet, or a file PATH.toml")]
Set = Annotated[list[str] | None, typer.Option("--set", help="stage.field=value, as synthesis.images=500")]
Seed = Annotated[int, typer.Option(help="whole number from 0 up")]
Data = Annotated[Path | None, typer.Option(help="where the data sets lie (else $DFNAS_DATA)")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda")]
Force = Annotated[bool, typer.Option("--force", help="run again what is done; stages too")]


@app.command()
def run(
    chapter: Chapters = None,
    profile: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="may be given several times")] = None,
    overrides: Set = None,
    data: Data = None,
    device: Device = None,
    force: Force = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="go on after a chapter that failed")] = False,
) -> None:
    """Execute chapters' notebooks; those that are good and fresh are kept."""
    _use(data)
    every = [_settings(name, number, overrides, device) for name in profile or ["quick"] for number in seed or [0]]
    plans = [(settings, runner.choose(chapter or (), settings)) for settings in every]
    options = runner.Options(force=force, device=device or "")
    rows: list[tuple[str, Settings, states.State]] = []
    for settings, names in plans:
        rows += [(name, settings, state) for name, state in _run_chapters(names, settings, options, keep_going)]
    if len(plans) > 1:
        print(f"\n{_table(rows)}{_over_seeds(rows)}")
    raise typer.Exit(_exit_code([state for _, _, state in rows]))


@app.command()
def compute(
    chapter: Annotated[str, typer.Argument(help="as 02-synthesis")],
    profile: Profile = "quick",
    seed: Seed = 0,
    overrides: Set = None,
    data: Data = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Compute a chapter's stages without its notebook, which then finds them done; under torchrun, together."""
    settings = _settings(profile, seed, overrides, device)
    profiles.require_chapter(chapter, settings)
    _use(data)
    paths.make_folder(paths.runs())
    from dfnas.chapters import index  # imported late: what brings torch takes seconds
    from dfnas.runtime import artefacts, distributed

    artefacts.force(force)
    artefacts.reset()
    with distributed.session(settings.run.device):
        index.compute(chapter, settings)
    if os.environ.get("RANK", "0") == "0":
        rows = [[item.name, f"{item.seconds:.1f}", f"{item.peak_memory_mb:.0f}"] for item in artefacts.used()]
        print(tabulate(rows, ["stage", "seconds", "memory (MB)"]))


@app.command()
def status(profile: Profile = "quick", seed: Seed = 0, overrides: Set = None) -> None:
    """Each chapter: good, older code, stale (why), failed (why) or never run; time and memory it took."""
    settings = _settings(profile, seed, overrides)
    print(_table([(name, settings, states.state(name, settings)) for name in settings.chapters]))


@app.command()
def plan(
    chapter: Chapters = None,
    profile: Profile = "quick",
    seed: Seed = 0,
    overrides: Set = None,
    data: Data = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or machines without one, that share the work")] = 1,
    out: Annotated[Path | None, typer.Option(help="write the rows as JSON to this file")] = None,
) -> None:
    """What chapters would cost: work, bytes on disk, memory, time. Nothing is run."""
    settings = _settings(profile, seed, overrides)
    _use(data)
    names = runner.choose(chapter or (), settings)
    from dfnas.chapters import costs, index  # imported late: they bring torch, which takes seconds

    rows = [{"chapter": name, **costs.on_devices(row, devices)} for name in names for row in index.plan(name, settings)]
    if out is not None:
        write_json(Path(os.path.expanduser(out)), {"profile": settings.profile, "devices": devices, "rows": rows})
    took = "time" if devices == 1 else f"time on {devices}"
    heads = ["chapter", "stage", "iterations", "images", "MACs", "disk (MB)", "memory (MB)", took]
    print(tabulate(map(_plan_row, rows), heads, disable_numparse=True, stralign="right", colalign=("left", "left")))


@app.command("new-profile")
def new_profile(
    out: Annotated[Path, typer.Argument(help="the file to write, as mine.toml")],
    weights: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="of torch, safetensors or torch.export")],
    shape: Annotated[str, typer.Option("--input", help="channels x side x side of its images, as 3x64x64")],
    teacher: Annotated[
        str, typer.Option(help="module:function, torchvision:NAME or timm:NAME; not of torch.export")
    ] = "",
    classes: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="text, a name on each line")] = None,
    base: Annotated[str, typer.Option(help="start from quick, for minutes, or laptop, for hours")] = "quick",
    force: Annotated[bool, typer.Option("--force", help="write over a file that is there")] = False,
) -> None:
    """Look into a network of one's own and write a profile for it, with comments."""
    from dfnas.chapters import proposal  # imported late: it brings torch, which takes seconds

    print(proposal.write(out, teacher, weights, shape, classes, base, force))


@app.command()
def metrics(
    chapter: Annotated[list[str] | None, typer.Argument(help="as 01-teacher; none: all")] = None,
    profile: Annotated[str | None, typer.Option(help="of this profile alone")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="comma-separated, in full; none: a table to look at")] = False,
) -> None:
    """The metrics of every good run in runs/ and of the published ones, with intervals: a row a metric."""
    some = measurements.good_records()
    names, label = chapter or sorted({record["name"] for record in some}), profile and _settings(profile).profile
    some = [each for each in some if each["name"] in names and label in (None, each["profile"])]
    if not some:
        raise UserError("no good run of that: `python -m dfnas status` says which there are")
    if csv:
        print(measurements.text(some), end="")
    else:
        cells = [list(row.values())[:-1] for row in measurements.rows(some)]
        print(tabulate(cells, measurements.HEADS[:-1], floatfmt=".4g"))


@app.command()
def publish(chapter: Chapters = None, profile: Profile = paths.BOOK) -> None:
    """Copy good runs that are not stale to book/executed; refuses anything else."""
    for file in publishing.publish(chapter or (), _settings(profile)):
        print(file.relative_to(paths.root()))


@app.command()
def render(
    profile: Annotated[str | None, typer.Option(help="render this profile's runs; none: the published ones")] = None,
) -> None:
    """Make the book's HTML and print the path of its first page."""
    try:
        page, notes = rendering.render(_settings(profile) if profile else None)
    except rendering.RenderError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    for note in notes:
        print(f"dfnas: {note}", file=sys.stderr)
    print(page)


@app.command("handout")
def hand_out(
    chapter: Annotated[str, typer.Argument(help="as 02-synthesis")],
    teacher: Annotated[bool, typer.Option("--teacher", help="with the solutions")] = False,
    out: Annotated[Path | None, typer.Option(help="a notebook or a folder; none: here")] = None,
    form: Annotated[Literal["plain", "otter"], typer.Option("--format", help="otter: for otter-grader")] = "plain",
) -> None:
    """Make a chapter's notebook for students, with checks in place of the solutions; or the teacher's copy."""
    from dfnas.publishing import handout, otter

    print(otter.write(chapter, out or Path()) if form == "otter" else handout.write(chapter, teacher, out))


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="holds the notebooks of a class")],
    seconds: Annotated[float, typer.Option(min=1, help="limit for one notebook")] = 900,
    memory: Annotated[float, typer.Option(min=0.1, help="limit for one notebook, in GB")] = 4,
    out: Annotated[Path | None, typer.Option(help="the table to write; none: grades.csv in the folder")] = None,
) -> None:
    """Run a class's handed-in notebooks, each in a process of its own with limits, and write a table of points."""
    from dfnas.publishing import grading

    grades, path = [], out or folder / "grades.csv"
    for row in grading.grade(folder, seconds, memory, path):
        grades.append(row)
        grading.write(path, grades)  # a class takes long: what is stopped has left the rows that it came to
        print(f"{row.name}: {row.points:g} of {row.of:g} points{row.stopped and f'; {row.stopped}'}", flush=True)
    print(path)


@app.command()
def latency(
    profile: Profile = "quick",
    overrides: Set = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="file of the table (else latency-PROFILE.json in runs/)")] = None,
) -> None:
    """Measure ProxylessNAS's operators on this machine into a table that its search can take for its cost."""
    settings = _settings(profile, 0, overrides, device)
    path = (out or paths.runs() / f"latency-{settings.profile}.json").expanduser().resolve()
    paths.make_folder(path.parent)
    from dfnas.chapters.proxylessnas import latency as measuring  # imported late: it brings torch, which takes seconds

    table = measuring.write(path, settings)
    rows = [[name, row["low"], row["median"], row["high"]] for name, row in table["operators"].items()]
    print(tabulate(rows, ["operator", "ms", "median", "upper quartile"], floatfmt=".3f"))
    if table["busy"]:
        print("other programs ran on this machine: measure again when nothing does, or take these times with care")
    print(f"{table['batch']} images at once, {table['threads']} threads, {table['repeats']} repeats: {path}")
    options = f"--set proxylessnas.cost=latency --set proxylessnas.latency_table={path}"
    print(f"python -m dfnas run 06-proxylessnas --profile {profile} {options}")


@app.command()
def export(
    chapter: Annotated[str, typer.Argument(help="as 10-distillation")],
    to: Annotated[Path, typer.Option(help="a folder, which is made")],
    profile: Profile = "quick",
    seed: Seed = 0,
    overrides: Set = None,
    data: Data = None,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export")] = False,
) -> None:
    """Copy what a finished chapter left for others into a folder: images and labels, architecture, networks."""
    settings, folder = _settings(profile, seed, overrides), to.expanduser().resolve()
    _use(data)
    from dfnas.chapters import index  # imported late: it brings torch, which takes seconds

    index.export(chapter, settings, folder, force)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _settings(profile: str, seed: int = 0, overrides: list[str] | None = None, device: str | None = None) -> Settings:
    return profiles.load(profile, seed, tuple(overrides or ()), device)


def _use(data: Path | None) -> None:
    if data is None:
        return
    if not os.path.exists(os.path.expanduser(data)):
        raise UserError(f"no data at {data}: --data takes the folder (or zip) that holds the data set")
    os.environ["DFNAS_DATA"] = os.path.abspath(os.path.expanduser(data))


def _run_chapters(
    names: list[str], settings: Settings, options: runner.Options, keep_going: bool
) -> list[tuple[str, states.State]]:
    """Run one profile and seed; a chapter that fails ends it, unless told to go on."""
    done: list[tuple[str, states.State]] = []
    label = paths.run_folder(settings).name
    for name in names:
        print(f"{label}/{name}: running (progress: {paths.run_folder(settings) / name}.log)", flush=True)
        state = runner.run(name, settings, options)
        done.append((name, state))
        print(f"{label}/{name}: {state}{_cost(state)}", flush=True)
        if state.answer:
            _complain(f"{name}: {state.answer}")
        if state.word == "failed" and not keep_going:
            break
    return done


def _cost(state: states.State) -> str:
    record = state.record or {}
    if "seconds" not in record:
        return ""
    return f", {duration(record['seconds'])}, {record['peak_memory_mb']} MB"


def _table(rows: list[tuple[str, Settings, states.State]]) -> str:
    cells = []
    for name, settings, state in rows:
        record = state.record or {}
        cost = [duration(record.get("seconds")), record.get("peak_memory_mb", "")]
        now = ", running now" if runner.is_running(paths.run_folder(settings), name) else ""
        cells.append([name, settings.profile, settings.seed, *cost, record.get("commit", ""), f"{state}{now}"])
    heads = ["chapter", "profile", "seed", "time", "memory (MB)", "commit", "state"]
    return tabulate(cells, heads, disable_numparse=True)


def _over_seeds(rows: list[tuple[str, Settings, states.State]]) -> str:
    """A table of each chapter's metrics, where several seeds of a profile have run it well."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, settings, state in rows:
        if state.record and state.word != "failed":
            kinds.setdefault((settings.profile, name), []).append(state.record)
    cells = [
        [name, profile, *row]
        for (profile, name), some in kinds.items()
        if len(some) > 1
        for row in measurements.over_seeds(some)
    ]
    heads = ["chapter", "profile", "metric", "mean over seeds", "95 % from", "to", "seeds"]
    return f"\n\n{tabulate(cells, heads, floatfmt='.4g')}" if cells else ""


def _plan_row(row: dict[str, Any]) -> list[str]:
    return [
        str(row["chapter"]),
        str(row["stage"]),
        _count(row["iterations"]),
        _count(row["images"]),
        "" if row["macs"] is None else f"{row['macs']:.2e}",
        "" if row["bytes_disk"] is None else f"{row['bytes_disk'] / 1e6:.1f}",
        "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}",
        duration(row["seconds_shared"]),
    ]


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as a reader says them: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _exit_code(states: list[states.State]) -> int:
    failed = [state for state in states if state.word == "failed"]
    if not failed:
        return 0
    return 2 if all(state.answer for state in failed) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; every mistake of a user is one line and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter stops nothing
    try:
        words = sys.argv[1:] if arguments is None else arguments
        code = app(words or ["--help"], prog_name="python -m dfnas", standalone_mode=False) or 0
        return _stopped() if code == STOPPED else code
    except UserError as error:
        return _complain(str(error))
    except typer.TyperException as error:
        return _complain(f"{error.format_message()} (python -m dfnas --help says what there is)")
    except UnicodeEncodeError as error:
        where = ascii(error.object[max(0, error.start - 40) : error.end + 40])
        return _complain(f"{where} has letters that this locale lacks: set PYTHONUTF8=1")
    except OSError as error:
        return _complain(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()


def _stopped() -> int:
    print("dfnas: stopped; what is finished is kept, run again to go on", file=sys.stderr)
    return STOPPED


def _complain(text: str) -> int:
    print(f"dfnas: {' '.join(text.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
