"""Tables of published benchmarks: a CSV file of architectures with their accuracies and costs.

Nothing of a real table comes with the package.
"""

import csv
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfnas.errors import UserError
from dfnas.models import nasbench
from dfnas.profiles import Settings

COLUMNS = ("architecture", "accuracy", "macs", "parameters")
Row = tuple[str, float, float, float]  # in the order of COLUMNS


@dataclass(frozen=True)
class Table:
    """Architectures of one space with what a benchmark says of them: accuracies are fractions."""

    kind: str  # cell | chain
    rows: tuple[Row, ...]
    digest: str


def given(settings: Settings) -> Path | None:
    """The table that a run is held against: `truth.table`, else that of $DFNAS_TABLE, which names one of CIFAR-10.

    As where data lie, it is no setting of a published run: stages know the table by its content.
    """
    named = settings.truth.table or (os.environ.get("DFNAS_TABLE", "") if settings.data.name == "cifar10" else "")
    return Path(named) if named else None


def read(path: Path) -> Table:
    """A table from a CSV file.

    Raises
    ------
    UserError
        The file cannot be read, lacks a column, or has a row that is wrong: the message names the line.
    """
    try:
        content = path.read_bytes()
        lines = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise UserError(f"cannot read the table {path} ({reason}): truth.table names a CSV file") from None
    missing = [name for name in COLUMNS if not lines or name not in lines[0]]
    if missing:
        raise UserError(f"table {path} lacks {', '.join(missing)}: its first line must name {', '.join(COLUMNS)}")
    rows = [_row(line, f"table {path}, line {number}") for number, line in enumerate(lines, 2)]
    kinds = {nasbench.kind_of(row[0]) for row in rows}
    if len(kinds) > 1:
        raise UserError(f"table {path} mixes cells of NAS-Bench-201 and chains of NAS-Bench-Macro: one space a table")
    if len({row[0] for row in rows}) < len(rows) or len(rows) < 3:
        raise UserError(f"table {path} has {len(rows)} rows: at least 3 are needed, each of another architecture")
    return Table(kinds.pop(), tuple(rows), hashlib.sha256(content).hexdigest())


def _row(line: dict[str, Any], where: str) -> Row:
    text = (line["architecture"] or "").strip()
    try:
        nasbench.kind_of(text)
        numbers = [float(line[name]) for name in COLUMNS[1:]]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except (TypeError, ValueError):
        raise UserError(f"{where}: accuracy, macs and parameters must be numbers") from None
    if not (0 <= numbers[0] <= 1) or not all(math.isfinite(value) and value >= 0 for value in numbers[1:]):
        raise UserError(f"{where}: accuracy is a fraction from 0 to 1, macs and parameters are not negative")
    return text, numbers[0], numbers[1], numbers[2]
