"""Answers that the runs choose: {finding} holds a text for each state of a claim and prints the one that happened.

    ```{finding} soft-above-hard
    holds: Soft labels teach more than hard ones: {estimate}.
    does_not_hold: Soft labels do not teach more: {estimate}.
    not_decided: Whether soft labels teach more, five seeds do not tell ({estimate}).
    cannot_tell: These students cannot tell: {reason}.
    not_run: Whether soft labels teach more was not run.
    ```

A text is MyST and may go over several lines and paragraphs. `{estimate}` and `{reason}` are the finding's own words;
what is undecided for another reason than its interval says so by itself. Numbers of the records stand as {num} roles,
of which only those of the text that is printed are looked up. The five states are those of `dfnas.records.claims`; a
text that is missing is an error, so that no state comes as a surprise.
"""

import re
from dataclasses import replace

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from dfnas.records import claims

from . import record

log = logging.getLogger(__name__)

STATE = re.compile(rf"(?m)^({'|'.join(claims.STATES)}):")


def texts(content: str) -> dict[str, str]:
    """The texts of a block by state; raises ValueError where one is missing, there twice, or not of a state."""
    first, *parts = STATE.split(content)
    found = dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))
    wrong = [f"no text for {state}" for state in claims.STATES if not found.get(state)]
    wrong += [f"two texts for {state}" for state in found if parts[::2].count(state) > 1]
    wrong += [f"text before the first state: {first.strip()}"] if first.strip() else []
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def printed(content: str, claim: claims.Claim, finding: claims.Finding) -> str:
    """The text of the finding's state, with its words filled in; raises ValueError as `texts` does."""
    words = {"estimate": claims.described(claim, replace(finding, reason="")), "reason": finding.reason}
    text = re.sub(r"\{(estimate|reason)\}(?!`)", lambda match: words[match[1]], texts(content)[finding.state])
    if finding.state == claims.UNDECIDED and finding.reason:  # the interval does not say why it is open
        text += f" {finding.reason[0].upper()}{finding.reason[1:]}."
    return text


class FindingBlock(SphinxDirective):
    """One of five texts."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Judge the claim and parse its state's text."""
        name = self.arguments[0]
        try:
            if name not in claims.BY_NAME:
                raise ValueError("there is no such claim")
            judged = claims.findings(record.all_of(self.env))[name]
            text = printed("\n".join(self.content), claims.BY_NAME[name], judged)
        except ValueError as error:
            where = self.get_location()
            log.warning("finding %r: %s", name, error, location=where, type="dfnas", subtype="finding")
            return []
        box = nodes.compound("", classes=["finding", f"finding-{judged.state.replace('_', '-')}"])
        self.state.nested_parse(StringList(text.splitlines(), self.get_source_info()[0]), self.content_offset, box)
        return [box]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("finding", FindingBlock)
