"""The Sphinx extension, on a made-up book: numbers, code links, run cards, launch buttons, the explorer."""

import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from dfnas_book import card, claim, explorer, frames, impl, labels, launch, num, plots, record, searches
from docutils import nodes

from dfnas import profiles
from dfnas.records import claims, provenance
from dfnas.runtime.statistics import Interval

from . import made_up


def page(book: Path, name: str) -> BeautifulSoup:
    """A rendered page."""
    return BeautifulSoup((book / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source of a made-up book, to be spoilt."""
    folder = tmp_path / "source"
    folder.mkdir()
    return made_up.write(folder)


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), encoding="utf-8")


def test_number_in_prose_links_to_its_run(made_up_book: Path) -> None:
    link = page(made_up_book, "book/executed/03-calibration").select_one("p a.num-link")
    assert link is not None
    assert link["href"] == "01-teacher.html#run-card"
    assert link.text == "81.2% (from the run of 01-teacher)"
    assert [part.text for part in link.select(".visually-hidden")] == [" (from the run of 01-teacher)"]


def test_number_on_the_page_of_its_run_is_plain(made_up_book: Path) -> None:
    numbers = page(made_up_book, "book/executed/01-teacher").select("p .num")
    assert [number.text for number in numbers] == ["81.2%", "271,098", "81.2%", "81.2%"]
    assert not any(number.find_parent("a") for number in numbers)


def test_number_in_a_caption(made_up_book: Path) -> None:
    caption = page(made_up_book, "book/executed/02-synthesis").select_one("figcaption")
    assert caption is not None
    assert "An invented loss, of 81.2%" in caption.text


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.5, ".1%", "50.0%"),
        (-0.25, ".2f", "\N{MINUS SIGN}0.25"),
        (1234567, "", "1,234,567"),
        (0.123456, "", "0.12"),
        (1234.5678, "", "1.23e+03"),
        ("a-b", "", "a-b"),
        (True, "", "True"),
    ],
)
def test_format_of_numbers(value: Any, spec: str, text: str) -> None:
    assert num.format_metric(value, spec) == text


@pytest.fixture(scope="session")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the renderer says of a book with many faults, each of which must fail the build."""
    folder = tmp_path_factory.mktemp("spoilt")
    source = folder / "source"
    source.mkdir()
    made_up.write(source)
    index = source / "index.md"
    roles = " ".join(f"{{num}}`{wrong}`" for wrong in WRONG_NUMBERS)
    block = "```{claim}\nno-such-claim\n```\n\n" + "\n\n".join(
        f"```{{finding}} {name}\n{texts}\n```" for name, texts in WRONG_FINDINGS.items()
    )
    roles += " {impl}`dfnas.errors.Gone` `{num}`01-teacher:note``"
    index.write_text(f"{index.read_text(encoding='utf-8')}\n\n{roles}\n\n{block}\n", encoding="utf-8")
    executed = source / "book" / "executed"
    edit(executed / "01-teacher.json", verdict="failed: cell 3 raised")
    (executed / "02-synthesis.json").unlink()
    edit(executed / "03-calibration.json", complete=False)
    (executed / "03-calibration.explorer.json").unlink()
    (executed / "05-spos.population.json").unlink()  # of a run from before it attached one: no fault
    edit(executed / "05-spos.json", attachments=[])
    edit(executed / "08-truth.architectures.json", accuracy=[0.9])
    done = made_up.render(source, folder)
    assert done.returncode != 0
    return made_up.complaints(done)


WRONG_NUMBERS = ("01-teacher:accurracy", "09-nothing:x", "01-teacher:note|.1%")
WHOLE = [f"{state}: A text." for state in claims.STATES]
WRONG_FINDINGS = {
    "no-such-finding": "\n".join(WHOLE),
    "soft-above-hard": "\n".join(WHOLE[:-1]),
    "region-above-jitter": "\n".join([*WHOLE, WHOLE[0]]),
    "student-above-chance": "\n".join(["An answer.", *WHOLE]),
}
FAULTS = {
    **{f"number {wrong}": f"num '{wrong}'" for wrong in WRONG_NUMBERS},
    "function that is not there": "impl 'dfnas.errors.Gone'",
    "number within quotes of code": "a role stands raw: {num}",
    "claim that is not there": "claim 'no-such-claim'",
    "finding that is not there": "finding 'no-such-finding': there is no such claim",
    "finding without a text for a state": "finding 'soft-above-hard': no text for not_run",
    "finding with two texts for a state": "finding 'region-above-jitter': two texts for holds",
    "finding with a text for no state": "finding 'student-above-chance': text before the first state: An answer.",
    "run that failed": "executed/01-teacher: WARNING: the run of this page is not good: failed: cell 3",
    "page without a record": "executed/02-synthesis: WARNING: there is no 02-synthesis.json",
    "record that is not complete": "executed/03-calibration: WARNING: the run of this page is not good",
    "explorer without data": "explorer: there is no 03-calibration.explorer.json",
    "explorer of data that do not fit": "explorer: the table has columns of 6 (candidate), 1 (accuracy)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_fails_the_build(spoilt: str, fault: str) -> None:
    assert FAULTS[fault] in re.sub(r"\x1b\[[0-9;]*m|\.ipynb", "", spoilt)


def test_a_run_from_before_an_explorer_is_no_fault(spoilt: str) -> None:
    assert "population" not in spoilt


def test_new_run_changes_pages_that_quote_it(source: Path, tmp_path: Path) -> None:
    assert made_up.render(source, tmp_path).returncode == 0
    edit(source / "book/executed/01-teacher.json", metrics={"teacher_accuracy": 0.5, "teacher_parameters": 7})
    assert made_up.render(source, tmp_path).returncode == 0
    caption = page(tmp_path / "_build/html", "book/executed/02-synthesis").select_one("figcaption")
    assert caption is not None
    assert "50.0%" in caption.text


SVG = """<?xml version="1.0"?><svg width="9pt" height="8pt" viewBox="0 0 9 8"><metadata>who</metadata>
<defs><style type="text/css">*{stroke-linecap: butt} .a, .b{fill: red}</style>
<path id="m1" style="stroke: #262626"/></defs>
<g clip-path="url(#p2)" style="fill: #262626"><use xlink:href="#m1" style="fill: #0173b2; stroke: #ffffff"/></g>
<g style="fill: #ffffff"/><rect style="fill: #ffffff"/></svg>"""


def test_drawing_in_a_page_keeps_to_itself_and_has_variables_for_greys() -> None:
    svg = plots.inlined(SVG, "plot7", "one & two")
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in svg
    assert 'class="plot" role="img" aria-label="one &amp; two" viewBox="0 0 9 8" width="9pt">' in svg
    assert "#plot7 *{stroke-linecap: butt}" in svg
    assert "#plot7  .a, #plot7  .b{fill: red}" in svg
    assert 'id="plot7-m1" style="stroke: var(--plot-rule, #262626)"' in svg
    assert 'clip-path="url(#plot7-p2)" style="fill: var(--plot-ink, #262626)"' in svg
    assert 'href="#plot7-m1" style="fill: #0173b2; stroke: var(--plot-ground, #ffffff)"' in svg
    assert '<g style="fill: #ffffff"/><rect style="fill: var(--plot-ground, #ffffff)"/>' in svg
    assert "who" not in svg


def test_deviation_of_one_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"a_std": 0.0, "a_n": 1, "b_std": 0.1, "b_n": 2, "c_std": 0.0}
    monkeypatch.setattr(record, "load", lambda env, name: {"metrics": metrics})
    keys = ("a_std", "a_n", "b_std", "c_std")
    assert [num.is_of_one(None, "01-teacher", key) for key in keys] == [True, False, False, False]  # type: ignore[arg-type]


def test_claim_shows_the_state_that_its_record_gives(made_up_book: Path) -> None:
    holds, missing = page(made_up_book, "book/executed/01-teacher").select("ul.claims > li.claim")
    assert "claim-holds" in holds["class"]
    assert holds.select_one(".claim-state").text.split() == ["\N{CHECK MARK}", "holds"]
    assert "+20.0 points, 95 % interval +15.5 to +24.5" in holds.select_one(".claim-estimate").text
    assert holds.select_one("a")["href"] == "03-calibration.html#run-card"
    assert "claim-not-run" in missing["class"]
    assert missing.select("a") == []


@pytest.mark.parametrize("docname", ["book/executed/05-spos", "book/executed/12-results"])
def test_claim_that_is_not_decided_says_what_it_would_take(monkeypatch: pytest.MonkeyPatch, docname: str) -> None:
    monkeypatch.setattr(claim.ClaimBlock, "env", SimpleNamespace(docname=docname))
    block, spos = object.__new__(claim.ClaimBlock), claims.BY_NAME["spos-above-random"]
    estimate = Interval(1.0, -0.5, 2.5, 4)
    for finding, takes in (
        (claims.Finding(claims.UNDECIDED, estimate, takes=3), "If estimate and spread stayed, 3 times as many"),
        (claims.Finding(claims.UNDECIDED, estimate, takes=math.inf), "not even a hundred times"),
        (claims.Finding(claims.HOLDS, estimate), ""),
    ):
        text = "".join(node.astext() for node in block.behind(spos, finding))
        assert text.startswith("+1.0 points")
        assert takes in text
        assert ("repeats" in text) == bool(takes)


def test_claim_on_the_page_of_its_run_is_no_link(made_up_book: Path) -> None:
    first = page(made_up_book, "book/executed/03-calibration").select_one("ul.claims > li.claim")
    assert first is not None
    assert first["id"] == "claim-images-above-noise"
    assert first.select("a") == []


def test_finding_prints_the_text_of_the_state_that_happened_and_no_other(made_up_book: Path) -> None:
    box = page(made_up_book, "book/executed/01-teacher").select_one("div.finding")
    assert box is not None
    assert "finding-holds" in box["class"]
    first, second = box.select("p")
    assert first.text == "The invented images win: +20.0 points, 95 % interval +15.5 to +24.5, p 0.011, or 81.2%."
    assert first.select_one(".num").text == "81.2%"
    assert second.select_one("em").text == "every"


def test_implementation_is_linked_to_its_source_line(made_up_book: Path) -> None:
    link = page(made_up_book, "book/executed/01-teacher").select_one("a[title='dfnas.errors.UserError']")
    assert link is not None
    target, _, line = str(link["href"]).partition("#")
    assert target == "../../_modules/dfnas/errors.html"
    anchor = page(made_up_book, "_modules/dfnas/errors").find(id=line)
    assert anchor is not None
    assert "class UserError" in anchor.parent.text


def test_implementation_is_located_without_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pretend"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError\n", encoding="utf-8")
    (package / "part.py").write_text(
        "LIMIT: int = 3\n\n\nclass Thing:\n    def act(self):\n        pass\n", encoding="utf-8"
    )
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
    assert box is not None
    assert title is not None
    assert title.find_next_sibling() == box
    assert box["aria-label"] == "How this page was computed"
    facts = {term.text: term.find_next("dd").text for term in box.select("dt")}
    assert facts == {
        "Profile": "made-up",
        "Seed": "3",
        "Commit": "0abc123",
        "Computed in": "3 min 5 s, of which 1 min 1 s in stages of earlier chapters",
        "Peak memory": "1.2 GB",
        "Date": "2026-01-02",
        "Machine": "an imagined processor, 2 cores, 1 thread used, 8 GB, no GPU",
    }
    link = box.select_one("a.download")
    assert link is not None
    saved = json.loads((made_up_book / "book/executed" / str(link["href"])).read_bytes())
    assert saved == made_up.record("02-synthesis", attachments=["frames"])


def test_card_offers_the_values_of_all_seeds_where_the_run_attached_them() -> None:
    targets = [[link["reftarget"] for link in card.links("04-darts", attached)] for attached in ([], ["values"])]
    assert targets == [["04-darts.json"], ["04-darts.json", "04-darts.values.json"]]


def test_card_stands_after_question_and_answer_and_before_the_first_cell() -> None:
    section, cell, text = nodes.section(), nodes.container(classes=["cell"]), nodes.paragraph()
    assert card.end_of_opening([text, text, cell, section]) == 2
    assert card.end_of_opening([text, section, cell]) == 1
    assert card.end_of_opening([cell]) == card.end_of_opening([]) == 0


def test_card_of_the_first_chapter_has_no_stage_of_earlier_ones(made_up_book: Path) -> None:
    took = page(made_up_book, "book/executed/01-teacher").select_one("section.run-card .card-computed-in dd")
    assert took is not None
    assert took.text == "3 min 5 s"


def test_card_says_which_run_of_its_kind_it_is() -> None:
    numbers = [dict(card.facts({"run_number": number}, 0)).get("Run") for number in (1, 3)]
    assert numbers == [None, "number 3 of this chapter, profile and seed"]
    assert "Run" not in dict(card.facts({}, 0))


def test_card_admits_what_is_wrong_with_the_code() -> None:
    assert card.commit({"commit": "abc", "clean": False}) == "abc, with uncommitted changes"
    files = provenance.module_digests(["dfnas.runtime.seeds"]) | {"dfnas.errors": "other"}
    old = {"commit": "abc", "clean": True, "modules": files}
    assert card.commit(old) == "abc, older code: of 2 modules that it used, 1 changed since"
    assert "<p>Changed since this run: errors</p>" in card.details(old)
    assert card.commit({"commit": "abc", "clean": True, "modules": {}}) == "abc"


@pytest.mark.parametrize(("seconds", "text"), [(8.21, "8.2 s"), (42, "42 s"), (185, "3 min 5 s"), (4320, "1 h 12 min")])
def test_durations(seconds: float, text: str) -> None:
    assert card.duration(seconds) == text


def test_chapters_that_were_not_run_are_not_linked(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "book/executed")
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n" + FRONT, encoding="utf-8")
    assert made_up.render(source, tmp_path).returncode == 0
    entries = page(tmp_path / "_build/html", "index").select(".chapter-list li")
    assert len(entries) == len(profiles.CHAPTERS)
    assert all("not run in this set yet" in entry.text and not entry.select("a strong") for entry in entries)


FRONT = "".join(f"- file: {name}\n" for name in made_up.front())


def test_launch_buttons_open_copies_of_the_source(linked_book: Path) -> None:
    links = page(linked_book, "book/executed/01-teacher").select(".dropdown-launch-buttons a")
    addresses = [str(link["href"]) for link in links]
    colab, binder = sorted(addresses)
    assert colab == "https://colab.research.google.com/github/someone/some-book/blob/gh-pages/launch/01-teacher.ipynb"
    assert binder.startswith(
        "https://mybinder.org/v2/gh/someone/some-book/main?urlpath=lab/tree/runs/render-published/"
    )
    assert binder.endswith("/launch/01-teacher.ipynb")
    listed = [str(link["href"]) for link in page(linked_book, "book/anywhere").select("main a.external")]
    assert {colab, binder, "https://codespaces.new/someone/some-book"} <= set(listed)


def test_no_launch_buttons_without_a_repository(made_up_book: Path) -> None:
    assert page(made_up_book, "book/executed/01-teacher").select(".dropdown-launch-buttons") == []


def test_buttons_are_rewritten_in_groups_too() -> None:
    place = launch.Repository("someone", "some-book", "main")
    buttons = [
        {"buttons": [{"url": "x/book/executed/a.ipynb"}, {"text": "Colab", "url": "x/book/executed/a.ipynb"}]},
        {"url": "y/book/notation.md"},
        {"label": "z"},
    ]
    launch.rewrite(buttons, place)
    assert buttons == [
        {"buttons": [{"url": "x/notebooks/a.ipynb"}, {"text": "Colab", "url": place.colab("a")}]},
        {"url": "y/book/notation.md"},
        {"label": "z"},
    ]


def test_explorer_holds_the_runs_data_and_a_drawing(made_up_book: Path) -> None:
    figure = page(made_up_book, "book/executed/03-calibration").select_one("figure.explorer-figure")
    assert figure is not None
    assert figure["id"] == "fig-explorer"
    assert json.loads(figure.select_one("script").string) == made_up.explorer()
    drawing = figure.select_one("svg[role=img]")
    assert drawing is not None
    assert drawing["aria-label"].startswith("Bars of invented labels")
    assert len(drawing.select("image")) == labels.SHOWN_SLOTS * made_up.explorer()["rounds"]
    assert figure.select_one(".caption-number") is not None


@pytest.mark.parametrize(
    "changes",
    [{"rounds": 9}, {"classes": ["only", "two"]}, {"slots": [{"slot": 0, "labels": [], "images": []}]}],
)
def test_explorer_refuses_data_that_it_would_draw_wrongly(changes: dict[str, Any]) -> None:
    labels.CalibrationExplorer.check(made_up.explorer())
    with pytest.raises(ValueError, match="slot 0"):
        labels.CalibrationExplorer.check(made_up.explorer() | changes)


CHANGED: list[dict[str, Any]] = [
    {"iterations": [0, 1]},
    {"classes": ["one"]},
    {"terms": [[]] * 4},
    {"variants": [[], ["a"], ["b"], ["c"]]},
    {"variants": [[], ["b"], ["a"], ["a", "b"]]},
    {"variants": [["a", "b"], ["a"], ["b"], []]},
]


@pytest.mark.parametrize("changes", CHANGED)
def test_frames_that_the_sheet_does_not_hold_are_refused(changes: dict[str, Any]) -> None:
    frames.SynthesisFrames.check(made_up.frames())
    with pytest.raises((ValueError, KeyError)):
        frames.SynthesisFrames.check(made_up.frames() | changes)


def test_ten_favourites_are_ten_and_a_judge_without_any_is_not_offered() -> None:
    """Of equal scores the first count, as in the live explorer."""
    data = {"accuracy": [row / 20 for row in range(20)], "scores": {"flat": [0.9] * 20, "a": [1.0] * 4 + [0.5] * 16}}
    assert searches.RegretExplorer.picture(data, "alt").count("point-own") == 10
    assert list(searches.RegretExplorer.given(data)["scores"]) == ["a"]
    flat = data | {"scores": {"flat": [0.9] * 20}}
    assert searches.RegretExplorer.given(flat) == flat  # else the explorer would have no judge at all


def test_searches_that_say_less_of_some_candidates_are_refused() -> None:
    searches.PopulationExplorer.check(made_up.population())
    for column, values in (("score", [0.5]), ("candidate", ["9999"] * 12)):
        wrong = made_up.population()
        wrong["searches"]["real"] = wrong["searches"]["real"] | {column: values}
        with pytest.raises(ValueError, match="the search on real"):
            searches.PopulationExplorer.check(wrong)


def test_still_pictures_show_a_point_for_each_architecture_and_a_tile_for_each_moment(made_up_book: Path) -> None:
    drawn = page(made_up_book, "book/executed/02-synthesis").select("figure svg.explorer-drawing")
    assert [len(each.select("circle")) for each in drawn] == [0, 12, 6]
    assert [len(each.select("circle.point-own")) for each in drawn] == [0, 4, 6]
    assert len(drawn[0].select("svg")) == 3 * frames.COLUMNS
    assert len(drawn[0].select("image")) == 1


def test_the_first_page_shows_an_image_forming_and_the_sheet_is_not_on_it(made_up_book: Path) -> None:
    box = page(made_up_book, "index").select_one("div.forming[role=img]")
    assert "airplane" in box["aria-label"]
    (strip,) = box.select("image")
    side, moments = 8, len(made_up.frames()["iterations"])
    assert frames.size(strip["href"]) == (side * moments, side)
    assert frames.opened(strip["href"]).getpixel((side * moments - 1, 0)) == 2 * (moments - 1)  # of the first image
    assert len(box.select("span > small")) == frames.COLUMNS


def test_script_in_the_data_cannot_end_the_script() -> None:
    data = made_up.explorer(rounds=1, slots=1) | {"classes": ["</script><b>", *made_up.CLASSES[1:]]}
    soup = BeautifulSoup(explorer.markup("labels", data, ""), "html.parser")
    assert json.loads(soup.select_one("script").string)["classes"][0] == "</script><b>"
    assert soup.select("b") == []


def test_made_up_notebooks_are_valid() -> None:
    for name in made_up.CHAPTERS:
        nbformat.validate(made_up.notebook(name))
