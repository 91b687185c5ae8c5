"""The functions that others build on: {public-api} shows each with signature, shapes, docstring, source and chapter.

Each line of its content reads `dfnas.data.teachers.load | teacher | what goes in and comes out`. Everything else is
read from the module's source when the page is rendered; nothing is imported.
"""

import ast
import re

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from . import impl

log = logging.getLogger(__name__)
SECTION = re.compile(r"(?m)^(Parameters|Returns|Raises)\n-+\n")
WIDTH = 88


def function(target: str) -> ast.FunctionDef:
    """The definition of a function, or of a class's construction; ImplError where there is none."""
    module, file, names = impl.module_file(target)
    found = impl.defined_in(ast.parse(file.read_text(encoding="utf-8")).body, ".".join(names))
    if not isinstance(found, ast.FunctionDef) or not ast.get_docstring(found):
        raise impl.ImplError(f"{module} defines no function {'.'.join(names)!r} with a docstring")
    return found


def signature(found: ast.FunctionDef) -> str:
    """As it is written, on one line where that fits, else with an argument on each."""
    returns = f" -> {ast.unparse(found.returns)}" if found.returns else ""
    line = f"{found.name}({ast.unparse(found.args)}){returns}"
    if len(line) <= WIDTH:
        return line
    arguments = re.sub(r", (?=\*?\w+(:|,|=|$)|\*, )", ",\n    ", ast.unparse(found.args))
    return f"{found.name}(\n    {arguments},\n){returns}"


def described(docstring: str) -> str:
    """A docstring as Markdown: its paragraphs, then a list for each of its sections."""
    text, *sections = SECTION.split(docstring)
    parts = [text.strip()]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        entries, _, after = body.strip().partition("\n\n")
        # `name : text` on one line, or a name with its text indented below it
        rows = re.sub(r"\n\s+", " ", re.sub(r"(?m)^(\w+)\n\s+", r"\1 : ", entries)).splitlines()
        listed = [f"- `{name}`: {meaning}" for name, _, meaning in (row.partition(" : ") for row in rows)]
        parts += [f"{title}:\n\n" + "\n".join(listed), after]
    return "\n\n".join(filter(None, parts))


def entry(line: str) -> str:
    """One line of the directive as Markdown."""
    target, chapter, shapes = (part.strip() for part in line.split("|", 2))
    found = function(target)
    return "\n".join(
        [
            f"```{{rubric}} {target}\n```\n\n```python\n{signature(found)}\n```\n",
            f"*{shapes}* {{impl}}`source <{target}>`, used in {{chapter}}`{chapter}`.\n",
            described(ast.get_docstring(found) or "") + "\n",
        ]
    )


class PublicApi(SphinxDirective):
    """One function a line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse what the sources say; a name that leads nowhere is a warning."""
        place, file = nodes.container(classes=["public-api"]), self.get_source_info()[0]
        for line in filter(str.strip, self.content):
            try:
                text = entry(line)
            except impl.ImplError as error:
                log.warning("public-api: %s", error, location=self.get_location(), type="dfnas", subtype="api")
                continue
            lines = text.splitlines()
            self.state.nested_parse(
                StringList(lines, items=[(file, self.lineno)] * len(lines)), self.content_offset, place
            )
        return [place]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("public-api", PublicApi)
