"""Chapters by name: {chapter}`spos` is a link that says "chapter 5", {chapter-list} lists all that there are.

Numbers are those of the table of contents, so a change of order costs nothing. Each line of the list's content reads
`01-teacher | The teacher | what the chapter is about`. What the set being rendered does not hold is not linked.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from . import record


class Chapter(SphinxRole):
    """A chapter's number, by the name that it shares with its module; {Chapter} begins a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """A numbered reference to the chapter's label, `ch-` and its name."""
        # the name of a role is lower-case by the time that it runs
        word, docs = "Chapter" if "Chapter" in self.rawtext else "chapter", self.env.found_docs
        names = [record.name_of(page) or "" for page in docs]
        number = next((name[:2] for name in names if name.partition("-")[2] == self.text), None)
        if number is None:
            return [nodes.Text(f"{'The' if word == 'Chapter' else 'the'} chapter on {self.text}")], []
        numbered = number != "00"  # the first page stands before the numbered ones
        options = {"refdomain": "std", "reftype": "numref" if numbered else "ref", "refexplicit": True, "refwarn": True}
        link = addnodes.pending_xref("", reftarget=f"ch-{self.text}", refdoc=self.env.docname, **options)
        link += nodes.inline("", f"{word}\N{NO-BREAK SPACE}{'%s' if numbered else 0}")
        return [link], []


class ChapterList(SphinxDirective):
    """An ordered list of chapters; those that were not run say so instead of linking to nothing."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse one chapter a line."""
        chapters = nodes.enumerated_list("", classes=["chapter-list"], enumtype="arabic", prefix="", suffix=".")
        lines = list(filter(str.strip, self.content))
        chapters["start"] = int(lines[0][:2])  # the first page is chapter 0: it stands before the numbered ones
        for line in lines:
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
    """Register roles and directive."""
    app.add_role("chapter", Chapter())
    app.add_role("Chapter", Chapter())
    app.add_directive("chapter-list", ChapterList)
