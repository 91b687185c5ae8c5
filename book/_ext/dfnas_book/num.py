"""The role that puts a number of a run into the prose: {num}`01-teacher:teacher_accuracy|.1%`."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from . import record

RAW = re.compile(r"\{(num|impl|chapter|Chapter|eq|numref|term|ref|cite:p)\}`?[^\s`]*")
NONE = "\N{EN DASH}"  # the deviation of one

log = logging.getLogger(__name__)


def format_metric(value: Any, spec: str) -> str:
    """`value` under a Python format spec; without one, whole numbers get separators, small ones two decimals.

    Raises ValueError or TypeError when the spec does not fit the value.
    """
    if spec:
        text = format(value, spec)
    elif isinstance(value, bool | str):
        text = str(value)
    elif isinstance(value, int):
        text = format(value, ",")
    else:
        text = format(value, ".2f" if abs(value) < 10 else ".3g")
    return text if isinstance(value, str) else text.replace("-", "\N{MINUS SIGN}")


def is_of_one(env: BuildEnvironment, name: str, key: str) -> bool:
    """Whether a metric is the deviation of one value, which has none."""
    if not key.endswith("_std"):
        return False
    try:
        return bool(record.metric(env, name, f"{key.removesuffix('_std')}_n") == 1)
    except record.RecordError:
        return False


class NumRole(SphinxRole):
    """The metric, as a link to the page whose run measured it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Look the metric up, or warn that it is not there or does not fit its format."""
        reference, _, spec = self.text.partition("|")
        name, _, key = reference.partition(":")
        try:
            text = format_metric(record.metric(self.env, name, key), spec)
            text = NONE if is_of_one(self.env, name, key) else text
        except (record.RecordError, ValueError, TypeError) as error:
            log.warning("num %r: %s", self.text, error, location=self.get_location(), type="dfnas", subtype="num")
            return [nodes.inline("", "[missing number]", classes=["num", "num-missing"])], []
        return [self.link(text, name)], []

    def link(self, text: str, name: str) -> nodes.Node:
        """`text` as a link to the page of run `name`; plain where that is this very page."""
        number = nodes.inline("", text, classes=["num"])
        if self.env.docname == record.page_of(name):
            return number
        reference = addnodes.pending_xref("", refdomain="", reftype="dfnas-num", reftarget=name, refexplicit=True)
        reference["refdoc"] = self.env.docname
        number += nodes.inline("", f" (from the run of {name})", classes=["visually-hidden"])
        reference += number
        return reference


def resolve(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element) -> Any:
    """Link the number to its run's card, if the set being rendered shows that page."""
    if node.get("reftype") != "dfnas-num":
        return None
    page = record.page_of(node["reftarget"])
    if page not in env.found_docs:
        return content
    address = app.builder.get_relative_uri(node["refdoc"], page) + "#run-card"
    return nodes.reference("", "", content, internal=True, refuri=address, classes=["num-link"])


def on_read(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of roles that were not parsed, as within quotes of code or in a table's HTML: they would stand raw."""
    for text in doctree.findall(lambda node: isinstance(node, nodes.Text | nodes.raw)):
        block = text.parent if isinstance(text, nodes.Text) else text
        if not isinstance(block, nodes.literal_block | nodes.math | nodes.math_block) and RAW.search(text.astext()):
            words, where = RAW.search(text.astext()), app.env.docname
            log.warning("a role stands raw: %s", words and words[0], location=where, type="dfnas", subtype="num")


def setup(app: Sphinx) -> None:
    """Register the role and its resolution."""
    app.add_role("num", NumRole())
    app.connect("missing-reference", resolve)
    app.connect("doctree-read", on_read)
