"""The role that puts a number of a run into the prose: {num}`01-teacher:teacher_accuracy|.1%`."""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from . import record

log = logging.getLogger(__name__)


def format_metric(value: Any, spec: str) -> str:
    """`value` under a Python format spec; without one, whole numbers get separators, others three digits.

    Raises ValueError or TypeError when the spec does not fit the value.
    """
    if spec:
        text = format(value, spec)
    elif isinstance(value, bool | str):
        text = str(value)
    elif isinstance(value, int):
        text = format(value, ",")
    else:
        text = format(value, ".3g")
    return text if isinstance(value, str) else text.replace("-", "\N{MINUS SIGN}")


class NumRole(SphinxRole):
    """The metric, as a link to the page whose run measured it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Look the metric up, or warn that it is not there or does not fit its format."""
        reference, _, spec = self.text.partition("|")
        name, _, key = reference.partition(":")
        try:
            text = format_metric(record.metric(self.env, name, key), spec)
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


def setup(app: Sphinx) -> None:
    """Register the role and its resolution."""
    app.add_role("num", NumRole())
    app.connect("missing-reference", resolve)
