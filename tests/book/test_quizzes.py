"""Questions: five a chapter, in the page without a script, answered by keyboard, and each with its answer."""

import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from dfnas.profiles import CHAPTERS

from .made_up import ROOT, complaints, render


def quiz() -> object:
    from dfnas_book import quiz

    return quiz


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_has_five_questions_with_one_right_answer_each(name: str) -> None:
    found = quiz().questions(quiz().path_of(ROOT, name))
    assert len(found) == 5
    assert len({question["ask"] for question in found}) == 5
    for question in found:
        answers = [text for text, _ in quiz().options(question)]
        assert len(set(answers)) == len(answers) >= 3
        assert [right for _, right in quiz().options(question)].count(True) == 1
        assert len(question["why"]) > 40


def test_the_right_answer_is_not_always_at_the_same_place() -> None:
    files = [quiz().path_of(ROOT, name) for name in CHAPTERS]
    every = [question for path in files for question in quiz().questions(path)]
    places = [[right for _, right in quiz().options(question)].index(True) for question in every]
    assert max(map(places.count, range(3))) < len(places) / 2


def test_an_incomplete_question_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[[question]]\nask = "what?"\nright = "this"\nwrong = ["that"]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="ask, right, wrong"):
        quiz().questions(path)


def test_a_broken_file_of_questions_stops_the_rendering(made_up_book: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(made_up_book.parents[1] / "source", source)
    broken = source / "book" / "quizzes" / "01-teacher.toml"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("[[question]]\nask = 1\n", encoding="utf-8")
    done = render(source, tmp_path / "out")
    assert done.returncode
    assert "quiz: 01-teacher.toml" in complaints(done)


def test_the_page_says_whether_an_answer_is_right_without_a_script(real_book: Path, chromium: Browser) -> None:
    address = (real_book / "book/executed/05-spos.html").as_uri()
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    first = page.locator("fieldset.quiz").first
    assert page.locator("fieldset.quiz").count() == 5
    assert not first.locator(".quiz-verdict:visible").all()
    buttons = first.locator("input")
    buttons.first.focus()
    seen = []
    for _ in range(3):  # arrow keys go round the group
        page.keyboard.press("ArrowDown")
        (shown,) = first.locator(".quiz-verdict:visible").all()
        seen.append(shown.inner_text().strip())
    assert sorted(seen) == ["No.", "No.", "Right."]
    first.locator("summary").press("Enter")
    assert first.locator("details p").is_visible()
    context.close()


def test_questions_are_typeset_and_belong_to_their_page(real_book: Path) -> None:
    pages = [path for path in (real_book / "book/executed").glob("*.html") if path.stem in CHAPTERS]
    for path in pages:
        found = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select("fieldset.quiz")
        assert len(found) == 5, path.stem
        for field in found:
            assert len({button["name"] for button in field.select("input")}) == 1
            assert "$" not in field.get_text()
            assert field.legend.get_text().strip()
