"""The book's Sphinx extension: numbers, code links, run cards and explorers, all fed by the runs.

`{num}` prints a metric of a run record, `{impl}` links to a function of the package, every page of
book/executed gets a card that says how it was computed, `{chapter-list}` lists the chapters that the set
being rendered holds, `{chapter-costs}` and `{plan-costs}` say what they take, `{claim}` what the runs say of a
claim, `{finding}` the text for it. `{synthesis-frames}`, `{calibration-explorer}`, `{population-explorer}` and
`{regret-explorer}` are figures that a reader moves. Maths is rendered
offline, and figures follow the theme.
`{public-api}` shows functions of the package, `{launch-links}` what opens a chapter elsewhere.
"""

from typing import Any

from sphinx.application import Sphinx

from . import (
    accessible,
    api,
    card,
    chapters,
    claim,
    costs,
    finding,
    frames,
    impl,
    labels,
    launch,
    num,
    offline,
    plots,
    quiz,
    searches,
    site,
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything; called by Sphinx."""
    for part in (
        num,
        impl,
        card,
        chapters,
        claim,
        finding,
        costs,
        labels,
        frames,
        searches,
        launch,
        offline,
        accessible,
        plots,
        api,
        site,
        quiz,
    ):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
