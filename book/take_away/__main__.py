"""The book to take away: `python book/take_away pdf|epub [PROFILE]`, from the published runs or those of a profile."""

import argparse
import sys
from pathlib import Path

import epub
import pages
import pdf

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import render

TITLE = "Architecture search without data"


def main() -> int:
    """Render the book, then write it; prints the file."""
    parser = argparse.ArgumentParser(prog="python book/take_away", description=__doc__)
    parser.add_argument("form", choices=("pdf", "epub"))
    parser.add_argument("profile", nargs="?", help="render this profile's runs; none: the published ones")
    wanted = parser.parse_args()
    try:
        index, notes = render.render(profiles.load(wanted.profile) if wanted.profile else None)
    except (UserError, render.RenderError) as error:
        print(f"dfnas: {error}", file=sys.stderr)
        return 2
    html, folder = index.parent, index.parents[2]
    found = pages.load(html, folder / "source" / "_toc.yml")
    out = folder / f"dfnas.{wanted.form}"
    notes += {"pdf": pdf, "epub": epub}[wanted.form].write(found, html, TITLE, out)
    for note in notes:
        print(f"dfnas: {note}", file=sys.stderr)
    print(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
