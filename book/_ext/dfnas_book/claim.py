"""Claims: {claim} shows what the set being rendered says of a claim of the book, computed from its records.

The content names one claim a line, as `dfnas.records.claims` has them. A claim whose chapter the set does not hold is
"not run"; nothing of a state is ever typed. All records of the set are read: claims are corrected for their number.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from dfnas.records import claims

from . import record

log = logging.getLogger(__name__)

MARKS = {
    claims.HOLDS: "\N{CHECK MARK}",
    claims.FAILS: "\N{MULTIPLICATION X}",
    claims.UNDECIDED: "?",
    claims.CANNOT_TELL: "\N{EMPTY SET}",
    claims.NOT_RUN: "\N{EN DASH}",
}


class ClaimBlock(SphinxDirective):
    """A list of claims, each with its state, its sentence and the estimate behind it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Judge one claim a line."""
        found, judged = nodes.bullet_list("", classes=["claims"]), claims.findings(record.all_of(self.env))
        for name in filter(None, map(str.strip, self.content)):
            if name not in claims.BY_NAME:
                where = self.get_location()
                log.warning("claim %r: there is none", name, location=where, type="dfnas", subtype="claim")
                continue
            found += self.item(claims.BY_NAME[name], judged[name])
        return [found] if found.children else []

    def item(self, claim: claims.Claim, finding: claims.Finding) -> nodes.Node:
        """One claim."""
        kind = finding.state.replace("_", "-")
        state = nodes.inline("", f"{MARKS[finding.state]} {finding.words}", classes=["claim-state"])
        first = nodes.paragraph("", "", state, nodes.Text(" "), nodes.inline("", claim.text, classes=["claim-text"]))
        behind = nodes.paragraph("", "", *self.behind(claim, finding), classes=["claim-estimate"])
        return nodes.list_item("", first, behind, classes=["claim", f"claim-{kind}"], ids=[self.anchor(claim)])

    def anchor(self, claim: claims.Claim) -> str:
        """The claim's address within a page."""
        return f"claim-{claim.name}"

    def behind(self, claim: claims.Claim, finding: claims.Finding) -> list[nodes.Node]:
        """The estimate, as a link to the run that made it."""
        text = nodes.inline("", claims.described(claim, finding))
        outlook = [nodes.Text(f". {finding.outlook}")] if finding.outlook else []
        if finding.estimate is None or self.env.docname == record.page_of(claim.chapter):
            return [text, *outlook]
        text += nodes.Text(f" (from the run of {claim.chapter})")
        link = addnodes.pending_xref("", refdomain="", reftype="dfnas-num", reftarget=claim.chapter, refexplicit=True)
        link["refdoc"] = self.env.docname
        link += text
        return [link, *outlook]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("claim", ClaimBlock)
