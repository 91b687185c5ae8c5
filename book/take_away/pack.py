"""A pack of data for a class that has no network: numbers with intervals, records, labels, handouts and questions."""

import zipfile
from pathlib import Path

import nbformat
from pages import Page

from dfnas import profiles
from dfnas.publishing import handout, measurements
from dfnas.runtime import paths

README = """{title}: data of the published runs.

metrics.csv   a row a metric: profile, seed, overrides, chapter, value, 95 % interval, deviation, number, commit;
              of a ratio_ not an interval, but the smallest and the largest that was measured
records/      the run records, as JSON, and what they have attached (such as the explorers' soft labels)
handouts/     the students' notebooks
quizzes/      the questions, as TOML

Licence: Apache-2.0. The digits of the quick profile come with scikit-learn; nothing is to be downloaded.
"""


def write(pages: list[Page], html: Path, title: str, out: Path) -> list[str]:
    """Write the pack; nothing in it is wrong by itself."""
    del pages, html
    published = paths.published(paths.BOOK)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README.format(title=title))
        archive.writestr("metrics.csv", measurements.text(measurements.good_records(own=False)))
        for path in sorted(published.rglob("*.json")):
            archive.write(path, f"records/{path.relative_to(published)}")
        for name in profiles.CHAPTERS:
            archive.writestr(f"handouts/{name}-student.ipynb", nbformat.writes(handout.of_chapter(name)))
        for path in sorted((paths.root() / "book" / "quizzes").glob("*.toml")):
            archive.write(path, f"quizzes/{path.name}")
    return []
