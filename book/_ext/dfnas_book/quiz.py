"""Questions with explained answers at the end of an executed page, from book/quizzes/<chapter>.toml.

They need no script and no network: each is a group of radio buttons, and the answer that is chosen says whether it is
right. The page gets a cell with the directive while it is read, so notebooks say nothing of it.
"""

import hashlib
import json
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from . import record

log = logging.getLogger(__name__)

CELL = "## Questions\n\nFive questions to see what stuck. Choose an answer, with the mouse or with the arrow keys.\n\n"
FIELDS = {"ask": str, "right": str, "wrong": list, "why": str}


def path_of(source: Path, name: str) -> Path:
    """The file of a chapter's questions."""
    return source / "book" / "quizzes" / f"{name}.toml"


def questions(path: Path) -> list[dict[str, Any]]:
    """The questions of a file; raises ValueError where one is incomplete."""
    found = tomllib.loads(path.read_text(encoding="utf-8")).get("question", [])
    for question in found:
        if {name: type(value) for name, value in question.items()} != FIELDS:
            raise ValueError(f"{path.name}: a question has ask, right, wrong (a list) and why: {question}")
    return list(found)


def options(question: dict[str, Any]) -> list[tuple[str, bool]]:
    """The answers to choose from, with whether they are right, in an order that does not tell."""
    all_of_them = [(question["right"], True), *((each, False) for each in question["wrong"])]
    return sorted(all_of_them, key=lambda option: hashlib.sha256((question["ask"] + option[0]).encode()).digest())


class Quiz(SphinxDirective):
    """A chapter's questions."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make them of the chapter's file."""
        path = path_of(Path(self.env.srcdir), self.arguments[0])
        self.env.note_dependency(str(path))
        try:
            found = questions(path)
        except (OSError, ValueError) as error:
            log.warning("quiz: %s", error, location=self.get_location(), type="dfnas", subtype="quiz")
            return []
        return [node for number, question in enumerate(found, 1) for node in self.question(question, number)]

    def question(self, question: dict[str, Any], number: int) -> list[nodes.Node]:
        """One question: its text, the answers, and why."""
        name = f"quiz-{number}"
        legend = self.line(f"{number}. {question['ask']}", "<legend>", "</legend>")
        shown = [raw(f'<fieldset class="quiz" id="{name}">'), *legend]
        for place, (text, right) in enumerate(options(question)):
            verdict = "Right." if right else "No."
            mark = f'<span class="quiz-verdict quiz-{"right" if right else "wrong"}"> {verdict}</span>'
            # An answer that is a formula alone has no words that name its button: a letter does.
            head = f'<p class="quiz-option"><label><input type="radio" name="{name}" value="{place}"> <span>'
            shown += self.line(text, f"{head}{'abcdefgh'[place]}) ", f"</span>{mark}</label></p>")
        why = self.line(f"{question['right']}. {question['why']}", "<p>", "</p>")
        return [*shown, raw("<details><summary>The answer, and why</summary>"), *why, raw("</details></fieldset>")]

    def line(self, text: str, before: str, after: str) -> list[nodes.Node]:
        """A line of MyST between two pieces of HTML."""
        parsed, messages = self.state.inline_text(text, self.lineno)
        return [raw(before), nodes.inline("", "", *parsed), *messages, raw(after)]


def raw(html: str) -> nodes.Node:
    """HTML that goes into the page as it is."""
    return nodes.raw("", html, format="html")


def add_questions(app: Sphinx, docname: str, content: list[str]) -> None:
    """Append a cell with the questions to an executed notebook that is being read."""
    name = record.name_of(docname)
    if name is None or not path_of(Path(app.srcdir), name).exists():
        return
    notebook = json.loads(content[0])
    text = f"{CELL}```{{quiz}} {escape(name)}\n```\n"
    notebook["cells"].append({"cell_type": "markdown", "id": "questions", "metadata": {}, "source": text})
    content[0] = json.dumps(notebook)


def setup(app: Sphinx) -> None:
    """Register the directive, and what puts it into pages."""
    app.add_directive("quiz", Quiz)
    app.connect("source-read", add_questions)
