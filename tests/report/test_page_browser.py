"""The page in a browser: what a reader sees and does, without a console message and without a request."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from helpers_page import HOSTILE, gallery_of, make_hostile, page_of, pixels

from prunekit.report.arrays import NoImagesError

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

DESK, PHONE = (1280, 900), (360, 740)
PAGE = 30
"""Cards that are laid out at first, and with every click for more."""
OUTCOMES = ["now wrong", "now right", "wrong before and now"]


@pytest.fixture(scope="module")
def browser():
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("there is no Chromium: the page is not tried in a browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found[0], args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def look(browser, tmp_path):
    """Open a page in a window; at the end nothing was fetched, and nothing was said on the console."""
    said, opened = [], []

    def open_page(html, size=DESK, scheme="light"):
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        window = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        window.set_default_timeout(5000)
        opened.append(window)
        page = window.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.route(lambda url: url != path.as_uri() and not url.startswith("data:"), lambda route: route.abort())
        page.on("request", lambda request: said.append(request.url) if not allowed(request.url, path) else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for window in opened:
        window.close()
    assert said == []


def allowed(url, path):
    return url == path.as_uri() or url.startswith("data:")


@pytest.fixture(scope="module")
def html(make):
    """Return a page with more changed examples than it shows at first."""
    study = make(members=5, examples=700, harm=0.35)
    study.images = pixels((3, 6, 6))
    return page_of(study)


def cards(page):
    """Return what every card says."""
    return page.locator(".card").evaluate_all("found => found.map(each => each.getAttribute('aria-label'))")


def held(html, comparison=0):
    """Return the cards of a comparison as (id, true class, label before, label after, change), from the data."""
    data = gallery_of(html)
    names = data["classes"]
    return [
        (data["ids"][example], data["labels"][example], before, after, change)
        for example, before, after, _, _, change in data["comparisons"][comparison]["cards"]
    ], names


def card_id(text):
    return text.split(", true class")[0]


def test_the_first_cards_are_the_largest_changes(look, html):
    page = look(html)
    everything, _ = held(html)
    assert len(everything) > 2 * PAGE
    shown = cards(page)
    assert [card_id(each) for each in shown] == [each[0] for each in everything[:PAGE]]
    changes = [float(re.search(r"vote change ([\d.]+)", each)[1]) for each in shown]
    assert changes == sorted(changes, reverse=True)
    assert page.locator("#count").inner_text() == f"{len(everything)} examples, {PAGE} shown."
    page.locator("#more").click()
    assert page.locator(".card").count() == min(2 * PAGE, len(everything))


def test_votes_are_counted_in_members(look, html):
    page = look(html)
    card = page.locator(".card").first.inner_text()
    assert re.search(r"[1-5]/5 → [1-5]/5 votes", card)


def test_images_are_those_of_the_examples(look, html):
    page = look(html)
    everything, _ = held(html)
    page.wait_for_timeout(200)
    for position in (0, 7, PAGE - 1):
        painted = page.evaluate(
            "i => [...document.querySelectorAll('.card canvas')[i].getContext('2d').getImageData(0, 0, 6, 6).data]",
            position,
        )
        index = int(everything[position][0].removeprefix("test/"))
        expected = pixels((3, 6, 6))([index])[0].transpose(1, 2, 0)
        np.testing.assert_array_equal(np.reshape(painted, (6, 6, 4))[:, :, :3], expected)


def test_filters_filter(look, html):
    page = look(html)
    everything, names = held(html)
    _, label, before, after, _ = everything[3]
    of_class = [each for each in everything if each[1] == label]
    page.locator("#of-class").select_option(str(label))
    assert page.locator("#count").inner_text().startswith(f"{len(of_class)} of {len(everything)} examples")
    assert all(f"true class {names[label]}:" in each for each in cards(page))
    page.locator("#direction").select_option(f"{before},{after}")
    both = [each for each in of_class if each[2:4] == (before, after)]
    assert [card_id(each) for each in cards(page)] == [each[0] for each in both][:PAGE]
    page.locator("#of-class").select_option("")
    page.locator("#direction").select_option("")
    wrong = [each for each in everything if each[1] == each[2]]
    page.locator("#outcome").select_option("0")
    assert page.locator("#count").inner_text().startswith(f"{len(wrong)} of {len(everything)} examples")
    assert all(each.endswith(OUTCOMES[0]) for each in cards(page))


def test_sorting_sorts(look, html):
    page = look(html)
    everything, _ = held(html)
    page.locator("#order").select_option("smallest")
    assert card_id(cards(page)[0]) in [each[0] for each in everything if each[4] == everything[-1][4]]
    page.locator("#order").select_option("id")
    numbers = [int(card_id(each).removeprefix("test/")) for each in cards(page)]
    assert numbers == sorted(int(each[0].removeprefix("test/")) for each in everything)[:PAGE]


def test_search_finds_by_id_and_escape_leaves(look, html):
    page = look(html)
    everything, _ = held(html)
    wanted = everything[-1][0]
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type(wanted.upper())
    assert [card_id(each) for each in cards(page)] == [each[0] for each in everything if wanted in each[0]]
    page.keyboard.press("Escape")
    assert page.locator("#search").input_value() == ""
    assert page.evaluate("document.activeElement.id") != "search"
    assert page.locator(".card").count() == PAGE
    page.locator("#search").fill("no such id")
    assert page.locator("#count").inner_text().startswith("0 of ")


def test_arrows_move_between_cards_and_enter_enlarges(look, html):
    page = look(html)
    everything, _ = held(html)

    def at():
        return int(page.evaluate("document.activeElement.dataset.position"))

    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    assert at() == 1
    page.keyboard.press("ArrowDown")
    row = at() - 1
    assert row > 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert at() == 0
    for _ in range(PAGE // row + 1):
        page.keyboard.press("ArrowDown")
    assert at() >= PAGE  # more were laid out on the way
    page.locator(".card").nth(2).focus()
    page.locator(".card").nth(2).press("Enter")
    assert page.locator("#large-id").inner_text() == everything[2][0]
    page.keyboard.press("ArrowRight")
    assert page.locator("#large-id").inner_text() == everything[3][0]
    page.keyboard.press("Escape")
    assert not page.locator("#large").is_visible()
    assert at() == 3
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement === document.body")


def test_cards_can_be_reached_by_tab_as_one(look, html):
    page = look(html)
    assert page.locator(".card[tabindex='0']").count() == 1


def test_the_picker_changes_sentences_tables_and_gallery(look, html):
    page = look(html)
    for number, name in enumerate(("dense → sparse", "control → sparse")):
        page.locator("#comparison").select_option(str(number))
        assert page.locator("h3.compared:visible").all_inner_texts() == [name]
        titles = page.locator("figure[data-comparison]:visible figcaption").all_inner_texts()
        assert titles
        assert all(name in title for title in titles)
        everything, _ = held(html, number)
        assert page.locator("#count").inner_text().startswith(f"{len(everything)} examples")
        assert card_id(cards(page)[0]) == everything[0][0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_button(look, html, scheme):
    page = look(html, scheme=scheme)

    def ground():
        return sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))

    before = ground()
    assert (before > 600) == (scheme == "light")
    page.locator("#theme").click()
    assert (ground() > 600) == (scheme == "dark")
    page.locator("#theme").click()
    assert ground() == before


def test_figures_have_the_colour_of_the_text(look, html):
    page = look(html, scheme="dark")
    lines = "found => found.map(each => getComputedStyle(each).stroke)"
    strokes = page.locator("svg [style*=currentColor]").evaluate_all(lines)
    assert page.evaluate("getComputedStyle(document.body).color") in strokes


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_a_phone_scrolls_in_one_direction_alone(look, html):
    page = look(html, PHONE)
    assert overflow(page) <= 0
    page.locator(".card").first.click()
    assert overflow(page) <= 0


def test_markup_in_names_is_shown_as_text_and_breaks_no_layout(look, pictured):
    make_hostile(pictured)
    page = look(page_of(pictured), PHONE)
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.title().startswith(HOSTILE)
    page.locator("#search").fill("script")
    assert page.locator(".card .id").all_inner_texts() == [HOSTILE]
    page.locator(".card").click()
    assert page.locator("#large-id").inner_text() == HOSTILE
    assert overflow(page) <= 0


def test_no_changed_examples_are_an_honest_empty_place(look, pictured):
    populations = pictured.columns.populations
    populations["sparse"].columns["prediction"] = populations["dense"]["prediction"]
    pictured.comparisons = pictured.comparisons[:1]
    page = look(page_of(pictured))
    assert page.locator("#count").inner_text() == "No example has another modal label in sparse than in dense."
    assert not page.locator(".controls").is_visible()
    assert page.locator(".card").count() == 0


def test_without_images_cards_are_text(look, pictured):
    def none(indices):
        raise NoImagesError("they are gone")

    pictured.images = none
    page = look(page_of(pictured))
    assert page.get_by_text("Images cannot be shown: they are gone.").is_visible()
    assert page.locator(".card").count() > 0
    assert page.locator(".card canvas").count() == 0
    page.locator(".card").first.click()
    assert not page.locator("#large canvas").is_visible()


def test_paper_has_no_controls_and_some_of_the_images(look, html):
    page = look(html, scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("#cards > li:visible").count() == 24
    for gone in (".bar", "nav", ".controls", "#more"):
        assert not page.locator(gone).is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")
