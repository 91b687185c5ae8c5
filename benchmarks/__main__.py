"""All benchmarks: `python -m benchmarks` writes results.json and a table in Markdown beside it.

Each file measures one thing and can be run alone, as `python -m benchmarks darts_step`.
"""

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from tabulate import tabulate

from benchmarks import measure, peaks
from dfnas.errors import UserError
from dfnas.profiles.settings import Benchmark
from dfnas.runtime import machine, paths
from dfnas.runtime.files import write_text
from dfnas.runtime.progress import bar

FILES: tuple[str, ...] = get_args(Benchmark)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(FILES)}; none: all")] = None,
    out: Annotated[Path, typer.Option(help="where the results go")] = Path("benchmarks/results.json"),
    pairs: Annotated[int, typer.Option(help="timings of each row, at least 1")] = measure.PAIRS,
) -> None:
    """Measure, in some ten minutes on two cores, and write the results."""
    unknown = [name for name in names or () if name not in FILES]
    if unknown or pairs < 1:
        raise UserError(
            f"no benchmark {unknown[0]!r}; there are {', '.join(FILES)}" if unknown else "--pairs: 1 or more"
        )
    paths.make_folder(out.absolute().parent)
    measure.PAIRS = pairs
    results: dict[str, Any] = {"machine": machine.description(), "versions": machine.versions(), "rows": []}
    results |= {"growths": [], "peaks": {}}
    for name in bar(names or FILES, desc="benchmarks", unit="file"):
        # A peak is the best that was ever seen, so it is looked for all along.
        results["peaks"] = peaks.best(results["peaks"], peaks.peaks())
        module = importlib.import_module(f"benchmarks.{name}")
        results["growths" if name == "growth" else "rows"] += module.rows()
    write_text(out, json.dumps(results, indent=1) + "\n")
    write_text(out.with_suffix(".md"), f"{table(results)}\n")
    print(table(results))


def end_with(parent: int) -> None:
    """End this process when the one that began it is gone: what runs on would spoil the figures of the next one."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def table(results: dict[str, Any]) -> str:
    """The rows and the slopes, in Markdown."""
    rows = [
        [
            row["name"],
            f"{row['baseline']:.3g}",
            f"{row['ours']:.3g}",
            row["unit"],
            f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})",
        ]
        for row in results["rows"]
    ]
    slopes = [[row["name"], row["variable"], f"{row['slope']:.2f}"] for row in results["growths"]]
    return "\n\n".join(
        [
            tabulate(rows, ["what", "plain", "ours", "unit", "ratio"], "github"),
            tabulate(slopes, ["what", "grows with", "slope"], "github"),
        ]
    )


if __name__ == "__main__":
    if "DFNAS_PARENT" in os.environ:
        threading.Thread(target=end_with, args=[int(os.environ["DFNAS_PARENT"])], daemon=True).start()
    try:
        typer.run(main)
    except UserError as error:
        print(f"dfnas: {error}", file=sys.stderr)
        raise SystemExit(2) from None
