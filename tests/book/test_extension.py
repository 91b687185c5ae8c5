"""The Sphinx extension, on a made-up book: numbers, code links, run cards, launch buttons, the explorer."""

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from dfnas_book import card, explorer, impl, launch, num

from . import made_up


def page(book: Path, name: str) -> BeautifulSoup:
    """A rendered page."""
    return BeautifulSoup((book / f"{name}.html").read_text(), "html.parser")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source of a made-up book, to be spoilt."""
    folder = tmp_path / "source"
    folder.mkdir()
    return made_up.write(folder)


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_number_in_prose_links_to_its_run(made_up_book: Path) -> None:
    link = page(made_up_book, "book/executed/03-calibration").select_one("p a.num-link")
    assert link is not None
    assert link["href"] == "01-teacher.html#run-card"
    assert link.text == "81.2% (from the run of 01-teacher)"
    assert [part.text for part in link.select(".visually-hidden")] == [" (from the run of 01-teacher)"]


def test_number_on_the_page_of_its_run_is_plain(made_up_book: Path) -> None:
    numbers = page(made_up_book, "book/executed/01-teacher").select("p .num")
    assert [number.text for number in numbers] == ["81.2%", "271,098", "81.2%"]
    assert not any(number.find_parent("a") for number in numbers)


def test_number_in_a_caption(made_up_book: Path) -> None:
    caption = page(made_up_book, "book/executed/02-synthesis").select_one("figcaption")
    assert caption is not None and "An invented loss, of 81.2%" in caption.text


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.5, ".1%", "50.0%"),
        (-0.25, ".2f", "\N{MINUS SIGN}0.25"),
        (1234567, "", "1,234,567"),
        (0.123456, "", "0.123"),
        ("a-b", "", "a-b"),
        (True, "", "True"),
    ],
)
def test_format_of_numbers(value: Any, spec: str, text: str) -> None:
    assert num.format_metric(value, spec) == text


@pytest.mark.parametrize("wrong", ["01-teacher:accurracy", "09-nothing:x", "01-teacher:note|.1%"])
def test_number_that_is_not_there_fails_the_build(source: Path, tmp_path: Path, wrong: str) -> None:
    index = source / "index.md"
    index.write_text(index.read_text() + f"\n\nIt is {{num}}`{wrong}`.\n")
    done = made_up.render(source, tmp_path)
    assert done.returncode != 0
    assert f"num '{wrong}'" in made_up.complaints(done)


def test_new_run_changes_pages_that_quote_it(source: Path, tmp_path: Path) -> None:
    assert made_up.render(source, tmp_path).returncode == 0
    edit(source / "book/executed/01-teacher.json", metrics={"teacher_accuracy": 0.5, "teacher_parameters": 7})
    assert made_up.render(source, tmp_path).returncode == 0
    caption = page(tmp_path / "_build/html", "book/executed/02-synthesis").select_one("figcaption")
    assert caption is not None and "50.0%" in caption.text


def test_implementation_is_linked_to_its_source_line(made_up_book: Path) -> None:
    link = page(made_up_book, "book/executed/01-teacher").select_one("a[title='dfnas.errors.UserError']")
    assert link is not None
    target, _, line = str(link["href"]).partition("#")
    assert target == "../../_modules/dfnas/errors.html"
    anchor = page(made_up_book, "_modules/dfnas/errors").find(id=line)
    assert anchor is not None and "class UserError" in anchor.parent.text


def test_implementation_is_located_without_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pretend"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError\n")
    (package / "part.py").write_text("LIMIT: int = 3\n\n\nclass Thing:\n    def act(self):\n        pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert impl.locate("pretend.part.LIMIT") == ("pretend.part", package / "part.py", 1)
    assert impl.locate("pretend.part.Thing.act")[2] == 5
    assert impl.locate("pretend.part")[2] == 1
    for wrong in ("pretend.part.Thing.fly", "pretend.gone.act", "nowhere.at.all"):
        with pytest.raises(impl.ImplError):
            impl.locate(wrong)


def test_card_says_how_the_page_was_computed(made_up_book: Path) -> None:
    soup = page(made_up_book, "book/executed/02-synthesis")
    box = soup.select_one("section.run-card")
    title = soup.select_one("article h1")
    assert box is not None and title is not None and title.find_next_sibling() == box
    assert box["aria-label"] == "How this page was computed"
    facts = {term.text: term.find_next("dd").text for term in box.select("dt")}
    assert facts == {
        "Profile": "made-up",
        "Seed": "3",
        "Commit": "0abc123",
        "Computed in": "3 min 5 s",
        "Peak memory": "1.2 GB",
        "Date": "2026-01-02",
        "Machine": "an imagined processor, 2 cores, 1 thread used, 8 GB, no GPU",
    }
    link = box.select_one("a.download")
    assert link is not None
    saved = json.loads((made_up_book / "book/executed" / str(link["href"])).read_text())
    assert saved == made_up.record("02-synthesis")


def test_card_admits_what_is_wrong_with_the_code() -> None:
    assert card.commit({"commit": "abc", "clean": False}) == "abc, with uncommitted changes"
    assert "older code" in card.commit({"commit": "abc", "clean": True, "modules": {"dfnas.errors": "other"}})
    assert card.commit({"commit": "abc", "clean": True, "modules": {}}) == "abc"


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.21, "8.2 s"), (42, "42 s"), (185, "3 min 5 s"), (4320, "1 h 12 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert card.duration(seconds) == text


@pytest.mark.parametrize("changes", [{"verdict": "failed: cell 3 raised"}, {"complete": False}])
def test_page_of_a_bad_run_fails_the_build(source: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    edit(source / "book/executed/02-synthesis.json", **changes)
    done = made_up.render(source, tmp_path)
    assert done.returncode != 0 and "not good" in made_up.complaints(done)


def test_page_without_a_record_fails_the_build(source: Path, tmp_path: Path) -> None:
    (source / "book/executed/02-synthesis.json").unlink()
    done = made_up.render(source, tmp_path)
    assert done.returncode != 0 and "02-synthesis.json" in made_up.complaints(done)


def test_chapters_that_were_not_run_are_not_linked(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "book/executed")
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n" + FRONT)
    assert made_up.render(source, tmp_path).returncode == 0
    entries = page(tmp_path / "_build/html", "index").select(".chapter-list li")
    assert len(entries) == len(made_up.CHAPTERS)
    assert all("not run in this set yet" in entry.text and not entry.select("a strong") for entry in entries)


FRONT = "".join(f"- file: book/{name}\n" for name in ("introduction", "notation", "references"))


def test_launch_buttons_open_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    made_up.write(source, repository="https://github.com/someone/some-book")
    assert made_up.render(source, tmp_path).returncode == 0
    links = page(tmp_path / "_build/html", "book/executed/01-teacher").select(".dropdown-launch-buttons a")
    addresses = [str(link["href"]) for link in links]
    assert len(addresses) == 2
    assert all(address.endswith("notebooks/01-teacher.ipynb") for address in addresses)


def test_no_launch_buttons_without_a_repository(made_up_book: Path) -> None:
    assert page(made_up_book, "book/executed/01-teacher").select(".dropdown-launch-buttons") == []


def test_buttons_are_rewritten_in_groups_too() -> None:
    buttons = [
        {"buttons": [{"url": "x/book/executed/a.ipynb"}]},
        {"url": "y/book/notation.md"},
        {"label": "z"},
    ]
    launch.rewrite(buttons)
    assert buttons == [
        {"buttons": [{"url": "x/notebooks/a.ipynb"}]},
        {"url": "y/book/notation.md"},
        {"label": "z"},
    ]


def test_explorer_holds_the_runs_data_and_a_drawing(made_up_book: Path) -> None:
    figure = page(made_up_book, "book/executed/03-calibration").select_one("figure.explorer-figure")
    assert figure is not None and figure["id"] == "fig-explorer"
    assert json.loads(figure.select_one("script").string) == made_up.explorer()
    drawing = figure.select_one("svg[role=img]")
    assert drawing is not None and drawing["aria-label"].startswith("Bars of invented labels")
    assert len(drawing.select("image")) == explorer.SHOWN_SLOTS * made_up.explorer()["rounds"]
    assert figure.select_one(".caption-number") is not None


@pytest.mark.parametrize("spoil", ["rounds", "classes", "gone"])
def test_explorer_without_sound_data_fails_the_build(source: Path, tmp_path: Path, spoil: str) -> None:
    path = source / "book/executed/03-calibration.explorer.json"
    if spoil == "gone":
        path.unlink()
    else:
        edit(path, **{spoil: 9 if spoil == "rounds" else ["only", "two"]})
    done = made_up.render(source, tmp_path)
    assert done.returncode != 0 and "explorer:" in made_up.complaints(done)


def test_script_in_the_data_cannot_end_the_script() -> None:
    data = made_up.explorer(rounds=1, slots=1) | {"classes": ["</script><b>", *made_up.CLASSES[1:]]}
    soup = BeautifulSoup(explorer.markup(data, "an alt text"), "html.parser")
    assert json.loads(soup.select_one("script").string)["classes"][0] == "</script><b>"
    assert soup.select("b") == []


def test_made_up_notebooks_are_valid() -> None:
    for name in made_up.CHAPTERS:
        nbformat.validate(made_up.notebook(name))
