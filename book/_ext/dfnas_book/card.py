"""The run card: under the opening of every executed page, how, when and where it was computed.

A page of book/executed without a record, or whose record is not of a good run, makes the build warn: a run
that failed must not be read as a result.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

from dfnas.publishing import status

from . import record, scale

log = logging.getLogger(__name__)


def duration(seconds: float) -> str:
    """Seconds as a reader says them: 8.2 s, 3 min 5 s, 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def memory(megabytes: float) -> str:
    """Megabytes, as gigabytes from 1,000 on."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def machine(parts: dict[str, Any]) -> str:
    """The machine in words."""
    words = [str(parts.get("cpu") or "unknown processor")]
    if parts.get("cores"):
        words.append(f"{parts['cores']} cores")
    if parts.get("threads"):
        words.append(f"{parts['threads']} thread{'' if parts['threads'] == 1 else 's'} used")
    if parts.get("memory_gb"):
        words.append(f"{parts['memory_gb']:.0f} GB")
    words.append(str(parts.get("gpu") or "no GPU"))
    return ", ".join(words)


def commit(run: dict[str, Any]) -> str:
    """The commit, with what must be known about the code besides it."""
    text = str(run.get("commit") or "unknown")
    if run.get("clean") is False:
        text += ", with uncommitted changes"
    changed = status.changed_modules(run)
    if changed:
        text += f", older code: of {len(run['modules'])} modules that it used, {len(changed)} changed since"
    return text


def computed_in(run: dict[str, Any], own: float) -> str:
    """What the run took, and what of it stages took that an earlier chapter has made: these are computed once."""
    shared = run.get("seconds", 0) - own
    made = f", of which {duration(shared)} in stages of earlier chapters" if shared >= 1 else ""
    return duration(run.get("seconds", 0)) + made


def facts(run: dict[str, Any], own: float) -> Iterator[tuple[str, str]]:
    """The lines of the card, as label and value; `own` are the seconds without stages of earlier chapters."""
    yield "Profile", str(run.get("profile", "unknown"))
    yield "Seed", str(run.get("seed", "unknown"))
    if scale.lines(run):
        yield "Scale", "\n".join(scale.lines(run))
    if run.get("overrides"):
        yield "Changed settings", ", ".join(map(str, run["overrides"]))
    if run.get("run_number", 1) > 1:
        yield (
            "Run",
            f"number {run['run_number']} of this chapter, profile and seed",
        )
    yield "Commit", commit(run)
    yield "Computed in", computed_in(run, own)
    yield "Peak memory", memory(run.get("peak_memory_mb", 0))
    yield "Date", str(run.get("started", "unknown"))[:10]
    yield "Machine", machine(run.get("machine") or {})


def stage_rows(run: dict[str, Any]) -> str:
    """The rows of the table of stages."""
    return "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{duration(stage.get('seconds', 0))}</td>"
        f"<td>{memory(stage.get('peak_memory_mb', 0))}</td>"
        f"<td><code>{escape(str(stage.get('key', ''))[:12])}</code></td></tr>"
        for name, stage in run.get("stages", {}).items()
    )


def details(run: dict[str, Any]) -> str:
    """What few readers need, folded away: the stages and the versions of the packages."""
    versions = ", ".join(f"{name} {version}" for name, version in run.get("versions", {}).items())
    rows = stage_rows(run)
    head = "".join(f"<th scope='col'>{title}</th>" for title in ("Stage", "Time", "Memory", "Key"))
    table = (
        f"<div class='card-stages'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        if rows
        else ""
    )
    changed = ", ".join(name.removeprefix("dfnas.") for name in status.changed_modules(run))
    changed = f"<p>Changed since this run: {escape(changed)}</p>" if changed else ""
    return f"{table}<p>{escape(versions)}</p>{changed}" if versions or table or changed else ""


def written(value: str) -> str:
    """A value of the card; one of several lines is a list."""
    lines = [escape(line) for line in value.split("\n")]
    return f"<ul><li>{'</li><li>'.join(lines)}</li></ul>" if len(lines) > 1 else lines[0]


def card(run: dict[str, Any], own: float, downloads: list[nodes.Node]) -> list[nodes.Node]:
    """The card as nodes; `downloads` lead to the record itself, and to every value where the run attached them."""
    lines = "".join(
        f"<div class='card-{label.lower().replace(' ', '-')}'><dt>{label}</dt><dd>{written(value)}</dd></div>"
        for label, value in facts(run, own)
    )
    state = " card-older" if status.changed_modules(run) else ""
    head = f"<section class='run-card{state}' id='run-card' aria-label='How this page was computed'><dl>{lines}</dl>"
    middle = f"<details><summary>Stages, packages, record</summary>{details(run)}"
    return [raw(head + middle), *(nodes.paragraph("", "", link) for link in downloads), raw("</details></section>")]


def raw(html: str) -> nodes.Node:
    """HTML that goes into the page as it is."""
    return nodes.raw("", html, format="html")


def links(name: str, attachments: Sequence[str]) -> list[nodes.Node]:
    """Links that download the record of the page, and the value of every seed where the run attached them."""
    files = {f"{name}.json": "The whole record as JSON"}
    if "values" in attachments:
        files[f"{name}.values.json"] = "The values of all seeds as JSON"
    found = []
    for file, text in files.items():
        link = addnodes.download_reference("", "", reftarget=file, refdoc=record.page_of(name), refexplicit=True)
        link += nodes.Text(text)
        found.append(link)
    return found


def add_card(app: Sphinx, doctree: nodes.document) -> None:
    """Put the card after the opening of an executed page; warn where the page has no good run behind it."""
    name = record.name_of(app.env.docname)
    title = next(doctree.findall(nodes.title), None)
    if name is None or title is None:
        return
    try:
        run, own = record.load(app.env, name), record.seconds_after_earlier(app.env, name)
    except record.RecordError as error:
        log.warning("%s", error, location=app.env.docname, type="dfnas", subtype="card")
        return
    if run.get("verdict") != "good" or not run.get("complete"):
        text = "the run of this page is not good: %s"
        log.warning(text, run.get("verdict", "no verdict"), location=app.env.docname, type="dfnas", subtype="card")
    opening = 1 + end_of_opening(title.parent.children[1:])
    title.parent[opening:opening] = card(run, own, links(name, run.get("attachments", [])))


def end_of_opening(blocks: Sequence[nodes.Node]) -> int:
    """How many blocks stand before the first cell of code or the first section: the question and its answer."""
    ends = (
        place
        for place, block in enumerate(blocks)
        if isinstance(block, nodes.section) or (isinstance(block, nodes.Element) and "cell" in block.get("classes", ()))
    )
    return next(ends, 0)


def setup(app: Sphinx) -> None:
    """Run before Sphinx collects the files that pages offer for download."""
    app.connect("doctree-read", add_card, priority=400)
