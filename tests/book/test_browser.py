"""The book in a browser with the network off: menus, phone, dark mode, maths, explorer, accessibility."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from dfnas_book import labels
from PIL import Image
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
# what begins left of the box that scrolls it, or of the page, can never be seen
CLIPPED = """() => [...document.querySelectorAll('.bd-article *')].filter(element => {
    if (element.closest('mjx-assistive-mml, svg, .visually-hidden')) return false;
    const place = element.getBoundingClientRect();
    let box = element.parentElement;
    while (box !== document.body && getComputedStyle(box).overflowX === 'visible') box = box.parentElement;
    const left = box === document.body ? 0 : box.getBoundingClientRect().left - box.scrollLeft;
    return place.width && place.height && place.left < left - 1.5;
}).map(element => element.outerHTML.slice(0, 120))"""
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
    ("width", "scheme", "axe"),
    [(PHONE, "light", True), (PHONE, "dark", False), (DESKTOP, "light", False), (DESKTOP, "dark", True)],
    ids=["phone-light", "phone-dark", "desktop-light", "desktop-dark"],
)
def test_page_is_whole_fits_and_is_accessible(
    visit: Visit, book: str, name: str, width: int, scheme: str, axe: bool
) -> None:
    page = visit(book, name, width=width, scheme=scheme)
    assert broken_images(page) == []
    assert page.locator("mjx-container mjx-merror").count() == 0
    assert page.evaluate(TOO_WIDE) == 0
    assert page.evaluate(CLIPPED) == []
    assert visit.complaints == []
    if axe:
        assert serious_findings(page) == []  # last: it asks for files that a page opened from disk may not read


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
    page.wait_for_timeout(300)
    assert visit.complaints == []  # from disk, too


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


GROUND = "e => getComputedStyle(e.querySelector('[id$=patch_1] > path')).fill"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_follow_the_theme(visit: Visit, scheme: str) -> None:
    page = visit("made_up_book", "book/executed/01-teacher", scheme=scheme)
    plot = page.locator("figure svg.plot").first
    assert page.locator("figure img").count() == 0
    assert plot.evaluate(GROUND) == page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert plot.get_attribute("aria-label") == "A curve that falls."


def test_a_wide_formula_begins_at_its_left_end(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/01-teacher", width=PHONE)
    formula = page.locator("div.math").first
    assert formula.evaluate("e => e.scrollWidth - e.clientWidth") > 0
    assert formula.evaluate("e => e.querySelector('mjx-math').getBoundingClientRect().left") >= 0


def test_verdicts_of_claims_are_in_sight_on_a_phone(visit: Visit) -> None:
    page = visit("real_book", "book/executed/12-results", width=PHONE)
    box = page.locator(".results-table", has_text="Claims about the method").first
    assert box.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
    assert box.locator("tbody td").last.bounding_box()["width"] > 40  # type: ignore[index]


def test_the_caption_of_a_wide_table_stays_in_sight_on_a_phone(visit: Visit) -> None:
    page = visit("real_book", "book/executed/04-darts", width=PHONE)
    box = page.locator(".results-table", has_text="random architectures of like cost").first
    for _ in range(2):
        assert box.evaluate("e => e.scrollWidth - e.clientWidth") > 100  # as it is, and when it was scrolled
        left, right = box.evaluate(
            """e => {
                const own = e.getBoundingClientRect(), caption = e.querySelector('caption').getBoundingClientRect();
                return [caption.left - own.left, own.right - caption.right];
            }"""
        )
        assert min(left, right) >= -1
        box.evaluate("e => { e.scrollLeft = 100 }")


def explorer_state(page: Page) -> tuple[str, list[float]]:
    """What the explorer says, and the lengths of its bars as shares."""
    words = page.locator(".explorer-words").inner_text()
    widths = page.evaluate("() => [...document.querySelectorAll('.explorer-fill')].map(e => parseFloat(e.style.width))")
    return words, [width / 100 for width in widths]


def test_explorer_opens_on_the_slot_that_moves_most_and_goes_by_keyboard(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration")
    slots = made_up.explorer()["slots"]
    most = max(range(len(slots)), key=lambda index: labels.moved(slots[index]))
    assert explorer_state(page)[1] == pytest.approx(slots[most]["labels"][0], abs=1e-6)
    page.get_by_label("Slot", exact=True).select_option(index=0)
    page.get_by_label("Slot", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert explorer_state(page)[1] == pytest.approx(slots[1]["labels"][0], abs=1e-6)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    words, widths = explorer_state(page)
    assert widths == pytest.approx(slots[1]["labels"][2], abs=1e-6)
    assert words.startswith("Round 2: automobile")
    assert "since round 0" in words
    assert page.locator(".explorer-image").get_attribute("src") == slots[1]["images"][2]
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


def explorer_of(visit: Visit, kind: str, **options: Any) -> tuple[Page, Any]:
    """The page of the made-up explorers, and one of them."""
    page = visit("made_up_book", "book/executed/02-synthesis", **options)
    return page, page.locator(f".explorer-{kind} .explorer-live")


def test_frames_are_dragged_by_keyboard_and_terms_are_switched_off(visit: Visit) -> None:
    page, box = explorer_of(visit, "frames", width=PHONE)
    data, side = made_up.frames(), 8
    boxes = "() => [...document.querySelectorAll('.frames-tile svg')].map(e => e.getAttribute('viewBox'))"
    assert page.evaluate(boxes) == [f"48 {8 * image} {side} {side}" for image in range(3)]  # opens on finished images
    box.get_by_label("Iteration").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    box.get_by_label("cross-entropy").focus()
    page.keyboard.press("Space")
    assert page.evaluate(boxes) == [f"8 {8 * (6 + image)} {side} {side}" for image in range(3)]
    assert box.locator(".explorer-words").inner_text().startswith("Iteration 1 of 36, without cross-entropy:")
    assert box.get_by_role("img", name="airplane").bounding_box()["width"] >= 64
    assert pixel(page, box.get_by_role("img", name="bird")) == 2 * 55 + 2 * 20 + 2 * 1  # the tile, from the sheet
    box.get_by_label("batch-norm statistics").uncheck()
    assert page.evaluate(boxes) == [f"8 {8 * (9 + image)} {side} {side}" for image in range(3)]
    assert "without batch-norm statistics and cross-entropy:" in box.locator(".explorer-words").inner_text()
    box.get_by_label("cross-entropy").check()
    assert page.evaluate(boxes) == [f"8 {8 * (3 + image)} {side} {side}" for image in range(3)]
    assert len(data["variants"]) == 2 ** box.get_by_role("checkbox").count()


def pixel(page: Page, place: Any) -> int:
    """The grey level in the middle of what is shown at a place."""
    shown = Image.open(io.BytesIO(place.screenshot())).convert("L")
    return int(shown.getpixel((shown.width // 2, shown.height // 2)))


def test_population_goes_by_generation_and_a_candidate_is_drawn(visit: Visit) -> None:
    page, box = explorer_of(visit, "population")
    words = box.locator(".explorer-words")
    assert words.first.inner_text().startswith("Generation 2: 4 candidates")
    box.get_by_label("Generation").focus()
    page.keyboard.press("Home")
    assert words.first.inner_text().startswith("Generation 0: 4 candidates with a mean score of 18\u2009%")
    assert box.locator(".point:visible").count() == 4
    page.keyboard.press("ArrowRight")
    box.get_by_label("Candidate, best first").focus()
    page.keyboard.press("End")  # the worst of generation 1 is the fifth of all
    assert words.last.inner_text() == (
        "Of generation 1, drawn at random: score 30\u2009% at 1.20 million multiply-adds."
    )
    assert (
        box.locator(".explorer-architecture").get_attribute("aria-label").startswith("Blocks: shuffle 5x5, shuffle 3x3")
    )
    box.get_by_label("Search on").select_option(label="real")
    assert "best of all 12 so far has 90\u2009%" in words.first.inner_text()
    assert visit.complaints == []


def test_regret_follows_from_how_many_are_kept(visit: Visit) -> None:
    page, box = explorer_of(visit, "regret")
    words = box.locator(".explorer-words")
    box.get_by_label("Kept, k").focus()
    page.keyboard.press("Home")
    assert "best (ringed) is 1.00 points below" in words.first.inner_text()  # the judge that orders as the table does
    box.get_by_label("Judge", exact=True).select_option(label="parameters")
    box.get_by_label("Kept, k").focus()
    page.keyboard.press("Home")
    assert "best (ringed) is 5.00 points below" in words.first.inner_text()
    assert "drawn by lot it would be 2.75 on average" in words.first.inner_text()  # 95 less the mean, 92.25
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "Of the 3 favourites the best (ringed) is 3.00 points below" in words.first.inner_text()
    page.keyboard.press("End")
    assert "drawn by lot it would be 1.00 on average" in words.first.inner_text()
    box.get_by_label("Architecture, the judge's favourite first").focus()
    page.keyboard.press("Home")
    assert words.last.inner_text().startswith("Number 1 of 6 by this judge; in the table 90.00")
    drawing = box.locator(".explorer-architecture")
    assert drawing.get_attribute("aria-label") == "Operations: " + ", ".join(["conv 3x3"] * 6)
    assert drawing.locator(".edge").count() == 6
    box, parts = drawing.bounding_box(), drawing.locator(".edge, .node, text").all()
    assert all(part.bounding_box()["y"] >= box["y"] for part in parts)  # nothing is cut off


def test_a_point_is_drawn_where_the_pointer_is(visit: Visit) -> None:
    _, box = explorer_of(visit, "regret")
    box.locator(".point").first.hover(force=True)
    shown = box.locator(".explorer-words").last.inner_text()
    box.locator(".point").last.hover(force=True)
    assert box.locator(".explorer-words").last.inner_text() != shown


def test_nothing_moves_where_motion_is_unwelcome(visit: Visit) -> None:
    page, _ = explorer_of(visit, "frames", reduced_motion="reduce")
    moving = "() => document.getAnimations().filter(a => a.playState === 'running').length"
    page.get_by_label("Iteration").focus()
    page.keyboard.press("Home")
    assert page.evaluate(moving) == 0
    front = visit("made_up_book", "index", reduced_motion="reduce")
    assert front.evaluate(moving) == 0


def test_without_javascript_the_page_still_tells_everything(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration", java_script_enabled=False)
    assert page.locator(".explorer-drawing").is_visible()
    assert page.locator(".explorer-controls").count() == 0
    others = visit("made_up_book", "book/executed/02-synthesis", java_script_enabled=False)
    assert others.locator(".explorer-drawing:visible").count() == 3
    assert others.locator(".explorer-controls").count() == 0
    assert page.locator(".run-card").get_by_text("an imagined processor").is_visible()
    assert page.locator(".bd-sidebar-primary").get_by_text("Notation").is_visible()


def test_on_paper_there_are_no_menus(visit: Visit) -> None:
    page = visit("made_up_book", "book/executed/03-calibration")
    page.emulate_media(media="print")
    assert not page.locator(".bd-sidebar-primary").is_visible()
    assert not page.locator(".explorer-controls").is_visible()
    assert page.locator(".explorer-drawing").is_visible()
    assert page.pdf().startswith(b"%PDF")
