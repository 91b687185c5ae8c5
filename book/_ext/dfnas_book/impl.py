"""The role that links an equation to the code that computes it: {impl}`dfnas.chapters.synthesis.total_variation`.

The link leads to the function on a page with its module's source, which is rendered into the book, so that
it works offline. Modules are found and parsed, never imported: the renderer need not know torch.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole

log = logging.getLogger(__name__)


class ImplError(Exception):
    """The dotted name leads to nothing."""


def package_folder(package: str) -> Path:
    """The folder of a top-level package, found without importing it; ImplError where there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImplError(f"there is no package {package!r}")
    return Path(next(iter(spec.submodule_search_locations)))


def module_file(target: str) -> tuple[str, Path, list[str]]:
    """Split a dotted name into its module, that module's file, and the names inside it."""
    parts = target.split(".")
    folder = package_folder(parts[0])
    for cut in range(len(parts), 0, -1):
        path = folder.joinpath(*parts[1:cut])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return ".".join(parts[:cut]), file, parts[cut:]
    raise ImplError(f"{target!r} names no module")


def defined_in(body: list[ast.stmt], name: str) -> ast.stmt | None:
    """The statement of `body` that defines `name`: a function, a class or an assignment."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name == name:
            return statement
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return statement
    return None


def locate(target: str) -> tuple[str, Path, int]:
    """Module, file and line of a dotted name; ImplError says which part of it is not there."""
    module, file, names = module_file(target)
    body, line = ast.parse(file.read_text(encoding="utf-8")).body, 1
    for name in names:
        statement = defined_in(body, name)
        if statement is None:
            raise ImplError(f"{module} defines no {'.'.join(names)!r}")
        body, line = getattr(statement, "body", []), statement.lineno
    return module, file, line


def source_page(module: str) -> str:
    """The page that shows the source of `module`."""
    return "_modules/" + module.replace(".", "/")


class ImplRole(ReferenceRole):
    """A link to the implementation; an explicit text may come before the name in angle brackets."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the reference, or warn that the name leads nowhere."""
        text = self.title if self.has_explicit_title else self.target.rpartition(".")[2]
        literal = nodes.literal("", text, classes=["impl"])
        try:
            module, file, line = locate(self.target)
        except (ImplError, SyntaxError) as error:
            log.warning("impl %r: %s", self.target, error, location=self.get_location(), type="dfnas", subtype="impl")
            return [literal], []
        self.env.note_dependency(str(file))
        modules_of(self.env).setdefault(self.env.docname, {})[module] = str(file)
        link = addnodes.pending_xref("", refdomain="", reftype="dfnas-impl", reftarget=module, refexplicit=True)
        link["line"], link["dotted"], link["refdoc"] = line, self.target, self.env.docname
        link += literal
        return [link], []


def modules_of(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    """For each document, the modules that it links to, with their files."""
    if not hasattr(env, "dfnas_modules"):
        env.dfnas_modules = {}  # type: ignore[attr-defined]
    modules: dict[str, dict[str, str]] = env.dfnas_modules  # type: ignore[attr-defined]
    return modules


def resolve(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element) -> Any:
    """Turn the role's reference into a link, where the builder writes pages of sources."""
    if node.get("reftype") != "dfnas-impl":
        return None
    if app.builder.name != "html":
        return content
    page = app.builder.get_relative_uri(node["refdoc"], source_page(node["reftarget"]))
    return nodes.reference(
        "", "", content, internal=True, refuri=f"{page}#line-{node['line']}", reftitle=node["dotted"]
    )


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """One page for each module that a document links to."""
    modules = {name: file for used in modules_of(app.env).values() for name, file in used.items()}
    if app.builder.name != "html":
        return
    for module, file in sorted(modules.items()):
        formatter = HtmlFormatter(linenos="inline", lineanchors="line", anchorlinenos=False, wrapcode=True)
        code = highlight(Path(file).read_text(encoding="utf-8"), PythonLexer(), formatter)
        body = f'<h1>The source of <code>{module}</code></h1>\n<div class="module-source">{code}</div>'
        yield source_page(module), {"title": module, "body": body, "parents": []}, "page.html"


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget what a document linked to, before it is read again."""
    modules_of(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    """Take over what another process read."""
    modules_of(env).update(modules_of(other))


def setup(app: Sphinx) -> None:
    """Register the role, its resolution and the pages of sources."""
    app.add_role("impl", ImplRole())
    app.connect("missing-reference", resolve)
    app.connect("html-collect-pages", source_pages)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
