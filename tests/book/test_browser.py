"""The book in a browser with the network off: menus, phone, dark mode, maths, explorer, accessibility."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from . import made_up

pytestmark = pytest.mark.browser

DESKTOP, PHONE = 1400, 390
EXECUTED = sorted(path.stem for path in (made_up.ROOT / "book" / "executed").glob("*.ipynb"))
FRONT = ("index", *made_up.front())
PAGES = [
    *(("made_up_book", f"book/executed/{name}") for name in made_up.CHAPTERS),
    ("made_up_book", "_modules/dfnas/errors"),
    ("made_up_book", "search"),
    *(("real_book", name) for name in FRONT),
    *(("real_book", f"book/executed/{name}") for name in EXECUTED),
]
each_page = pytest.mark.parametrize(("book", "name"), PAGES, ids=[f"{book}-{name}" for book, name in PAGES])
SETTLED = """() => document.readyState === 'complete'
    && document.querySelectorAll('.math.notranslate').length
        <= document.querySelectorAll('mjx-container').length"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LUMINANCE = """element => {
    const [r, g, b] = getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number);
    return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}"""


class Visit:
    """Opens pages of the rendered books, and keeps what the browser complained of."""

    def __init__(self, browser: Browser, request: pytest.FixtureRequest) -> None:
        self.browser, self.request = browser, request
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def __call__(self, book: str, name: str, width: int = DESKTOP, scheme: Any = "light", **options: Any) -> Page:
        """Open a page as a reader would see it, without a network; wait until its maths is set."""
        folder: Path = self.request.getfixturevalue(book)
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **options
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda failed: self.complaints.append(f"not loaded: {failed.url}"))
        page.goto((folder / f"{name}.html").as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_function(SETTLED)
        return page


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Opens pages; closes them after the test."""
    opened = Visit(chromium, request)
    yield opened
    for context in opened.contexts:
        context.close()


@each_page
@pytest.mark.parametrize(
    ("width", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone-light", "desktop-dark"]
)
def test_page_is_whole_fits_and_is_accessible(visit: Visit, book: str, name: str, width: int, scheme: str) -> None:
    page = visit(book, name, width=width, scheme=scheme)
    assert broken_images(page) == []
    assert page.locator("mjx-container mjx-merror").count() == 0
    assert page.evaluate(TOO_WIDE) == 0
    assert visit.complaints == []
    assert serious_findings(page) == []  # last: axe itself asks for files that a page opened from disk may not read


def broken_images(page: Page) -> list[str]:
    """Addresses of images that were loaded and show nothing."""
    loaded = "() => [...document.images].filter(i => i.complete && i.loading !== 'lazy')"
    found: list[str] = page.evaluate(f"{loaded}.filter(i => !i.naturalWidth).map(i => i.src)")
    return found


def serious_findings(page: Page) -> list[tuple[str, list[str]]]:
    """What axe calls serious or critical: the rule, and the elements that break it."""
    page.wait_for_timeout(300)  # transitions of colour would be measured half-way
    found = Axe().run(page).response["violations"]
    serious = [item for item in found if item["impact"] in ("serious", "critical")]
    return [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in serious]


def test_wide_formulas_can_be_scrolled_with_the_keyboard(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/01-teacher", width=PHONE)
    page.wait_for_function("() => document.querySelector('div.math').tabIndex === 0")
    page.locator("div.math").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('div.math').scrollLeft > 0")


def test_sidebar_folds_and_unfolds(visit: Visit) -> None:
    page = visit("made_up_book", "index")
    link = page.locator(".bd-sidebar-primary").get_by_text("Introduction")
    toggle = page.locator("button.primary-toggle:visible")
    assert link.is_visible()
    toggle.click()
    link.wait_for(state="hidden")
    toggle.click()
    link.wait_for(state="visible")


def test_menu_on_a_phone_leads_to_another_chapter(visit: Visit) -> None:
    page = visit("made_up_book", "index", width=PHONE)
    page.locator("button.primary-toggle:visible").click()
    link = page.locator("#pst-primary-sidebar-modal, .bd-sidebar-primary").get_by_text("Introduction").last
    link.wait_for(state="visible")
    link.click()
    page.wait_for_url("**/introduction.html")


def test_search_opens(visit: Visit) -> None:
    page = visit("made_up_book", "index", width=PHONE)
    page.locator("button.search-button:visible").click()
    field = page.locator("input[type=search]:visible")
    field.wait_for()
    field.fill("canvas")
    field.press("Enter")
    page.wait_for_url("**/search.html?q=canvas")
    page.locator("ul.search li").first.wait_for()


def test_dark_mode_by_preference_and_by_button(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/01-teacher", scheme="dark")
    body = page.locator("body")
    assert body.evaluate(LUMINANCE) < 0.2
    assert page.locator(".run-card").evaluate(LUMINANCE) < 0.2
    for _ in range(3):  # the button goes round: automatic, light, dark
        page.locator("button.theme-switch-button:visible").click()
        if body.evaluate(LUMINANCE) > 0.8:
            return
    pytest.fail("the button does not lead to the light page")


def test_plots_keep_their_white_ground_in_the_dark(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/01-teacher", scheme="dark")
    plot = page.locator("figure img").first
    assert plot.evaluate(LUMINANCE) > 0.99
    style = plot.evaluate("e => { const s = getComputedStyle(e); return [s.filter, s.borderRadius, s.paddingTop]; }")
    assert style[0] == "none"
    assert style[1] != "0px"
    assert style[2] != "0px"


def explorer_state(page: Page) -> tuple[str, list[float]]:
    """What the explorer says, and the lengths of its bars as shares."""
    words = page.locator(".explorer-words").inner_text()
    widths = page.evaluate("() => [...document.querySelectorAll('.explorer-fill')].map(e => parseFloat(e.style.width))")
    return words, [width / 100 for width in widths]


def test_explorer_by_keyboard(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration")
    data = made_up.explorer()
    page.get_by_label("Slot", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert explorer_state(page)[1] == pytest.approx(data["slots"][1]["labels"][0], abs=1e-6)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    words, widths = explorer_state(page)
    assert widths == pytest.approx(data["slots"][1]["labels"][2], abs=1e-6)
    assert words.startswith("Round 2: automobile")
    assert "since round 0" in words
    assert page.locator(".explorer-image").get_attribute("src") == data["slots"][1]["images"][2]
    assert page.locator(".explorer-words").get_attribute("aria-live") == "polite"
    page.keyboard.press("End")
    assert explorer_state(page)[0].startswith("Round 3")
    assert visit.complaints == []


def test_explorer_plays_through_the_rounds(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration")
    page.clock.install()
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(10_000)
    assert explorer_state(page)[0].startswith("Round 3")
    assert page.get_by_role("button", name="Play").is_visible()


def test_without_javascript_the_page_still_tells_everything(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration", java_script_enabled=False)
    assert page.locator(".explorer-drawing").is_visible()
    assert page.locator(".explorer-controls").count() == 0
    assert page.locator(".run-card").get_by_text("an imagined processor").is_visible()
    assert page.locator(".bd-sidebar-primary").get_by_text("Notation").is_visible()


def test_on_paper_there_are_no_menus(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration")
    page.emulate_media(media="print")
    assert not page.locator(".bd-sidebar-primary").is_visible()
    assert not page.locator(".explorer-controls").is_visible()
    assert page.locator(".explorer-drawing").is_visible()
    assert page.pdf().startswith(b"%PDF")
