"""The book to take away, from the published runs or those of a profile.

`python book/take_away pdf|epub|slides|figures|pack [PROFILE]`: one file of all pages; decks of slides; all
figures; what a class needs.
"""

import argparse
import sys
from pathlib import Path

import epub
import pack
import pages
import pdf
import slides

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.profiles import Settings
from dfnas.publishing import render

TITLE = "Architecture search without data"


def main() -> int:
    """Render the book, then write it; prints the file."""
    parser = argparse.ArgumentParser(prog="python book/take_away", description=__doc__)
    parser.add_argument("form", choices=("pdf", "epub", "slides", "figures", "pack"))
    parser.add_argument("profile", nargs="?", help="render this profile's runs; none: the published ones")
    wanted = parser.parse_args()
    try:
        out, notes = make(wanted.form, profiles.load(wanted.profile) if wanted.profile else None)
    except (UserError, render.RenderError) as error:
        print(f"dfnas: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"dfnas: {note}", file=sys.stderr)
    files = [path for path in (out, *out.glob("**/*")) if path.is_file()]
    print(f"{out} ({sum(path.stat().st_size for path in files) / 1e6:.1f} MB)")
    return 0


def make(form: str, settings: Settings | None) -> tuple[Path, list[str]]:
    """Render the book and write it in a form; where it lies, and what is to be said of it."""
    index, notes = render.render(settings)
    html, folder = index.parent, index.parents[2]
    found = pages.load(html, folder / "source" / "_toc.yml")
    write, out = {
        "pdf": (pdf.write, folder / "dfnas.pdf"),
        "epub": (epub.write, folder / "dfnas.epub"),
        "slides": (slides.write, html / "slides"),
        "pack": (pack.write, folder / "dfnas-pack.zip"),
        "figures": (slides.write_figures, folder / "dfnas-figures.zip"),
    }[form]
    return out, notes + write(found, html, TITLE, out)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
