"""The book's MyST Markdown as plain Markdown, which Jupyter shows without an extension.

Directives and roles have a meaning only where the book is rendered. What has a counterpart in Markdown is replaced by
it (tables, exercises, solutions, numbers of equations, figures and tables); of the rest the text is kept.
"""

import re
from collections.abc import Sequence
from typing import Any

from dfnas.profiles import CHAPTERS
from dfnas.publishing import notebooks
from dfnas.records import claims

DIRECTIVE = re.compile(
    r"(?ms)^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w-]+)\}(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence)\s*$"
)
ROLE = re.compile(r"\{(?P<name>[\w:-]+)\}`(?P<text>[^`]*)`")
OPTION = re.compile(r"\A:(?P<name>[\w-]+):(?P<value>[^\n]*)\n")
EQUATION = re.compile(r"(?m)^\$\$[ \t]*\((?P<label>[\w-]+)\)[ \t]*$")
TARGET = re.compile(r"(?m)^\([\w-]+\)=\n")


def numbers(cells: Sequence[Any]) -> dict[str, str]:
    """The number of each labelled equation, figure, table and exercise of a notebook, by label: "2", "Figure 1"."""
    labels: dict[str, str] = {}

    def add(kind: str, label: str) -> None:
        if label:
            count = sum(known.startswith(kind) for known in labels.values())
            labels[label] = f"{kind} {count + 1}".strip()

    for cell in cells:
        if cell.cell_type == "code":
            add("Figure", cell.metadata.get("mystnb", {}).get("figure", {}).get("name", ""))
            continue
        for match in EQUATION.finditer(cell.source):
            add("Equation", match["label"])
        for match in DIRECTIVE.finditer(cell.source):
            settings, _ = options(match["body"])
            if match["name"] in ("exercise", "list-table"):
                add(
                    {"exercise": "Exercise"}.get(match["name"], "Table"),
                    settings.get("label") or settings.get("name", ""),
                )
    return labels


def markdown(text: str, known: dict[str, str], solutions: bool = True) -> str:
    """A Markdown cell in plain Markdown; "" where nothing is left of it.

    Parameters
    ----------
    text
        The cell.
    known
        Numbers by label, as from `numbers`.
    solutions
        Whether solutions are kept, folded.
    """
    text = ROLE.sub(lambda match: _role(match["name"], match["text"], known), TARGET.sub("", text))
    text = DIRECTIVE.sub(lambda match: _directive(match, known, solutions), text)
    return EQUATION.sub(lambda match: rf"\tag{{{_number(match['label'], known)}}}" + "\n$$", text).strip()


def caption(cell: Any, known: dict[str, str]) -> str:
    """The caption of a code cell's figure, with its number; "" where the cell draws none."""
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    return f"*{known[figure['name']]}.* {markdown(figure['caption'], known)}" if figure else ""


def options(body: str) -> tuple[dict[str, str], str]:
    """The options at the head of a directive's body, and what follows them."""
    values = {}
    while match := OPTION.match(body):
        values[match["name"]], body = match["value"].strip(), body[match.end() :]
    return values, body.strip()


def _directive(match: re.Match[str], known: dict[str, str], solutions: bool) -> str:
    name, title = match["name"], match["title"].strip()
    settings, body = options(match["body"])
    if name == "exercise":
        return f"### {known.get(settings.get('label', ''), 'Exercise')}: {title}\n\n{body}"
    if name == "solution":
        return f"<details><summary>Solution</summary>\n\n{body}\n\n</details>" if solutions else ""
    if name == "list-table":
        return f"*{known.get(settings.get('name', ''), 'Table')}.* {title}\n\n{_table(body)}"
    if name in ("claim", "finding"):  # of a run that nobody knows yet
        names = [title] if name == "finding" else map(str.strip, body.splitlines())
        return "\n".join(f"- *A claim:* {claims.BY_NAME[each].text}" for each in names) + "\n"
    return body or title


def _table(body: str) -> str:
    """A list of lists as a table of pipes, its first row the head."""
    rows = [re.split(r"(?m)^\s+- ?", row) for row in re.split(r"(?m)^\* - ?", body)[1:]]
    lines = ["| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]])


def _role(name: str, text: str, known: dict[str, str]) -> str:
    """A role's text; a number of a run is replaced by its name, since another run has another number."""
    words, _, target = text.removesuffix(">").partition("<")
    label = (target or words).strip()
    if name == "num":
        return f"`{text.partition('|')[0]}`"
    if name.lower() == "chapter":  # by its file: a handout stands alone
        number = next(file for file in CHAPTERS if file.partition("-")[2] == text)[:2]
        return f"{name} {int(number)}"
    if name == "impl":
        return f"`{label}`"
    if name == "eq":
        return f"({_number(label, known) if label in known else _elsewhere(label)})"
    if name == "ref" and not target:
        return known.get(label, label)
    if name == "numref":
        number = known.get(label, label)
        return words.strip().replace("%s", number.rpartition(" ")[2]) if "%s" in words else number
    return f"[{text.replace(',', ', ')}]" if name.startswith("cite") else words.strip()


def _elsewhere(label: str) -> str:
    """The number that an equation of another chapter has in the book, such as 3.8; its label where none has it."""
    for name in CHAPTERS:
        there = numbers(notebooks.read_notebook(notebooks.source(name)).cells)
        if label in there:
            return f"{int(name[:2])}.{_number(label, there)}"
    return label


def _number(label: str, known: dict[str, str]) -> str:
    return known.get(label, label).rpartition(" ")[2]
