"""One click from a page to its notebook, running: all of it made from `repository.url` in _config.yml, nothing without.

Colab and Binder open generated copies of the notebooks in notebooks/: plain Markdown, a first cell that installs the
package where it is missing, and the smallest profile. The copies lie beside the pages, in launch/: Colab opens those on
the branch of the pages (gh-pages), Binder those that were rendered into its image. `{launch-links}` lists them, or says
why there are none.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from docutils import nodes
from docutils.statemachine import StringList
from nbformat.v4 import new_code_cell, new_markdown_cell
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from dfnas.profiles import CHAPTERS
from dfnas.publishing import markdown, notebooks

from .record import EXECUTED, page_of

COPIES = "launch"
PAGES_BRANCH = "gh-pages"
RENDERED = "runs/render-published/_build/html"  # in Binder's image, whose postBuild renders
PROFILE = "smoke"
NOTE = """*A copy of the chapter's notebook, made to be run here.* The next cell installs the package where it is
missing; then run the cells in order. The profile `{profile}` takes up to half a minute a chapter, to show that all
works; `quick` takes minutes, and its results mean something. Figures and results are on the [page]({page})."""
INSTALL = """import importlib.util

if importlib.util.find_spec("dfnas") is None:
    %pip install --quiet "dfnas @ git+{url}@{branch}\""""
EMPTY = (
    "This copy of the book does not say where its repository is, so it has no links that open a chapter elsewhere. "
    "Whoever publishes it writes the address into _config.yml, as repository.url: buttons, links, the notebooks behind "
    "them and the addresses of the pages are all made from that one line when the book is rendered."
)


class Repository(NamedTuple):
    """Where the book's repository is: at GitHub, the one place that all three services open."""

    owner: str
    name: str
    branch: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def pages(self) -> str:
        """Where its workflow publishes the pages."""
        return f"https://{self.owner.lower()}.github.io/{self.name}/"

    def colab(self, name: str) -> str:
        """What opens a chapter's copy in Colab."""
        return f"https://colab.research.google.com/github/{self.owner}/{self.name}/blob/{PAGES_BRANCH}/{copy(name)}"

    def binder(self, name: str) -> str:
        """What opens a chapter's copy in Binder."""
        tree = f"lab/tree/{RENDERED}/{copy(name)}"
        return f"https://mybinder.org/v2/gh/{self.owner}/{self.name}/{self.branch}?urlpath={tree}"

    @property
    def codespace(self) -> str:
        """What opens the repository in its development container."""
        return f"https://codespaces.new/{self.owner}/{self.name}"


def copy(name: str) -> str:
    """Where the copy of a chapter lies among the pages."""
    return f"{COPIES}/{name}.ipynb"


def repository(config: Config) -> Repository | None:
    """The repository that the book's settings name; None where they name none, or one elsewhere than at GitHub."""
    options = config.html_theme_options
    url = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+?)(\.git)?/?", options.get("repository_url") or "")
    return Repository(url[1], url[2], options.get("repository_branch") or "main") if url else None


def copied(source: Any, place: Repository, name: str) -> Any:
    """A source notebook as it is opened elsewhere: code as it is, but for the profile; text as plain Markdown."""
    known = markdown.numbers(source.cells)
    note = NOTE.format(profile=PROFILE, page=f"{place.pages}{page_of(name)}.html")
    cells = [new_markdown_cell(note), new_code_cell(INSTALL.format(url=place.url, branch=place.branch))]
    for cell in source.cells:
        if cell.cell_type == "markdown":
            cells.append(new_markdown_cell(markdown.markdown(cell.source, known)))
            continue
        tags = cell.metadata.get("tags", [])
        text = cell.source.replace('profile: str = "quick"', f'profile: str = "{PROFILE}"', "parameters" in tags)
        cells.append(new_code_cell(text, metadata={"tags": ["parameters"]} if "parameters" in tags else {}))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


class LaunchLinks(SphinxDirective):
    """A row for each chapter, with what opens it; without a repository a paragraph that says so."""

    def run(self) -> list[nodes.Node]:
        """Make the list."""
        place = repository(self.config)
        if place is None:
            return [nodes.note("", nodes.paragraph("", EMPTY))]
        rows = [f"- {name}: [Colab]({place.colab(name)}) · [Binder]({place.binder(name)})" for name in CHAPTERS]
        rows.append(f"- all of it, with an editor: [a codespace]({place.codespace})")
        links = nodes.container()
        self.state.nested_parse(StringList(rows, self.get_source_info()[0]), self.content_offset, links)
        return [links]


def rewrite(buttons: list[dict[str, Any]], place: Repository) -> None:
    """Point every address among `buttons`, groups included, from book/executed to what it means there."""
    for button in buttons:
        rewrite(button.get("buttons", []), place)
        for key in ("url", "link"):
            if name := re.search(rf"{EXECUTED}/([\w-]+)\.ipynb", str(button.get(key, ""))):
                opened = {"Colab": place.colab, "Binder": place.binder}.get(button.get("text", ""))
                source = button[key].replace(f"{EXECUTED}/", "notebooks/")
                button[key] = opened(name[1]) if opened else source


def configure(app: Sphinx, config: Config) -> None:
    """Ask for no launch buttons while the book has no repository: the theme would fail on an empty address."""
    place = repository(config)
    if place is None:
        config.html_theme_options = {**config.html_theme_options, "launch_buttons": {}}
    elif not config.html_baseurl:
        config.html_baseurl = place.pages


def on_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Correct the theme's buttons after the theme has made them."""
    if place := repository(app.config):
        rewrite(context.get("header_buttons", []), place)


def write_copies(app: Sphinx, error: Exception | None) -> None:
    """Write the copies beside the finished pages."""
    place = repository(app.config)
    if error is not None or place is None or app.builder.name != "html":
        return
    folder = Path(app.outdir) / COPIES
    folder.mkdir(exist_ok=True)
    for name in CHAPTERS:
        source = notebooks.read_notebook(notebooks.source(name))
        notebooks.write_notebook(copied(source, place, name), folder / f"{name}.ipynb")


def setup(app: Sphinx) -> None:
    """Run after the theme, whose own handlers have priority 501 and less."""
    app.add_directive("launch-links", LaunchLinks)
    app.connect("config-inited", configure)
    app.connect("html-page-context", on_page, priority=900)
    app.connect("build-finished", write_copies)
