"""Rendering: strict, from a staged copy, with what has been run."""

from pathlib import Path

import pytest
import tiny
import yaml

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import notebooks, publish
from dfnas.publishing import render as rendering
from dfnas.runtime import paths

CONFIG = {
    "title": "Tiny",
    "author": "nobody",
    "only_build_toc_files": True,
    "execute": {"execute_notebooks": "off"},
    "html": {"use_repository_button": False},
}
TOC = {
    "format": "jb-book",
    "root": "index",
    "parts": [
        {
            "caption": "Chapters",
            "chapters": [{"file": f"book/executed/{name}"} for name in profiles.CHAPTERS],
        },
        {"caption": "Later", "chapters": [{"file": "book/executed/99-later"}]},
    ],
}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Book:
    book = tiny.make_book(tmp_path, monkeypatch)
    (book.root / "book").mkdir()
    (book.root / "index.md").write_text("# Tiny\n\nA book.\n", encoding="utf-8")
    (book.root / "_config.yml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    (book.root / "_toc.yml").write_text(yaml.safe_dump(TOC), encoding="utf-8")
    return book


def render(profile: str = tiny.PROFILE) -> tuple[Path, list[str]]:
    return rendering.render(profiles.load(profile))


def test_a_profiles_runs_are_rendered_with_todays_prose(book: tiny.Book) -> None:
    book.write("print('computed by ' + 'this run')")
    book.run()
    book.write("print('computed by ' + 'this run')", prose="Polished prose.")
    page, notes = render()
    html = (page.parent / "book" / "executed" / f"{tiny.NAME}.html").read_text(encoding="utf-8")
    assert page == book.runs / f"render-{tiny.PROFILE}" / "_build" / "html" / "index.html"
    assert "Polished prose." in html
    assert "computed by this run" in html
    assert notes == [
        *(f"{name} is left out: never run" for name in profiles.CHAPTERS if name != tiny.NAME),
        "99-later is left out: there is no run of it",
    ]
    assert not (book.root / "book" / "executed").exists()  # the book itself is not touched


def test_a_warning_fails_and_is_shown(book: tiny.Book) -> None:
    book.write("x = 1", prose="See {ref}`ch-nowhere`.")
    book.run()
    with pytest.raises(rendering.RenderError, match="ch-nowhere"):
        render()


def test_the_published_runs_are_rendered_without_a_profile(book: tiny.Book) -> None:
    book.write("print('published')")
    book.run(profile="laptop")
    publish.publish([tiny.NAME], profiles.load("laptop"))
    book.write("print('published')", prose="Polished later.")
    page, notes = rendering.render()
    assert "Polished later." in (page.parent / "book" / "executed" / f"{tiny.NAME}.html").read_text(encoding="utf-8")
    assert "is shown as" not in " ".join(notes)


def test_a_published_run_that_is_not_good_is_refused(book: tiny.Book) -> None:
    path = paths.published(paths.BOOK) / f"{tiny.NAME}.ipynb"
    path.parent.mkdir()
    notebooks.write_notebook(tiny.notebook("x = 1"), path)
    with pytest.raises(UserError, match="not a good run"):
        rendering.render()


def test_nothing_to_render_is_one_line(book: tiny.Book) -> None:
    with pytest.raises(UserError, match="nothing to render"):
        render()
    with pytest.raises(UserError, match="publish --profile laptop"):
        rendering.render()


def test_missing_pages_leave_the_contents_and_empty_parts_with_them(book: tiny.Book, tmp_path: Path) -> None:
    rendering.copy_book(tmp_path / "copy")
    (tmp_path / "copy" / "book" / "executed").mkdir()
    (tmp_path / "copy" / "book" / "executed" / f"{tiny.NAME}.ipynb").write_text("", encoding="utf-8")
    others = [name for name in profiles.CHAPTERS if name != tiny.NAME]
    assert rendering.drop_missing(tmp_path / "copy") == [*others, "99-later"]
    contents = yaml.safe_load((tmp_path / "copy" / "_toc.yml").read_text(encoding="utf-8"))
    assert contents["parts"] == [{"caption": "Chapters", "chapters": [{"file": f"book/executed/{tiny.NAME}"}]}]


def test_warnings_are_picked_out_and_told_once(tmp_path: Path) -> None:
    line = f"{tmp_path}/index.md:3: WARNING: undefined label: ch-x"
    assert rendering.warnings_in(f"reading\n{line}\n{line}\ndone", tmp_path) == (
        "index.md:3: WARNING: undefined label: ch-x"
    )
    assert rendering.warnings_in("Traceback\nboom", tmp_path) == "Traceback\nboom"
