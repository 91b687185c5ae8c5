"""The list of chapters: {chapter-list}, one line a chapter, linked where the set being rendered holds its run.

Each line of the content reads `01-teacher | The teacher | what the chapter is about`.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from . import record


class ChapterList(SphinxDirective):
    """An ordered list of chapters; those that were not run say so instead of linking to nothing."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse one chapter a line."""
        chapters = nodes.enumerated_list("", classes=["chapter-list"], enumtype="arabic", prefix="", suffix=".")
        for line in filter(str.strip, self.content):
            name, title, text = (part.strip() for part in line.split("|", 2))
            paragraph = nodes.paragraph()
            paragraph += [self.heading(name, title), nodes.Text(" ")]
            parsed, messages = self.state.inline_text(text, self.lineno)
            paragraph += [nodes.inline("", "", *parsed, classes=["chapter-about"]), *messages]
            chapters += nodes.list_item("", paragraph)
        return [chapters]

    def heading(self, name: str, title: str) -> nodes.Node:
        """The chapter's title, as a link if it was run."""
        page = record.page_of(name)
        if page not in self.env.found_docs or not record.path_of(self.env, name).is_file():
            missing = nodes.inline("", " (not run in this set yet)", classes=["chapter-missing"])
            return nodes.inline("", "", nodes.strong("", title), missing)
        link = addnodes.pending_xref("", refdomain="std", reftype="doc", reftarget=f"/{page}", refexplicit=True)
        link += nodes.strong("", title)
        return link


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("chapter-list", ChapterList)
