"""The page as its readers meet it, in a real browser: what it shows is what Python computed."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

import cascade
from cascade.explore.choices import budget_in_words, interval, milliseconds, percent
from cascade.explore.page import page_of
from cascade.explore.plans import budgets_to_try

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(ladder, tmp_path_factory):
    """A page of a policy, with pictures as examples."""
    path = tmp_path_factory.mktemp("page") / "explore.html"
    images = np.random.default_rng(0).random((400, 8, 8))
    ladder.curve.to_html(path, policy=ladder.policy, outcomes=ladder.fresh, inputs=images, progress=False)
    return path


@pytest.fixture
def opened(browser, file):
    """The page in a tab of its own, and what the browser complained of."""
    with opened_in(browser, file) as tab:
        yield tab


@contextmanager
def opened_in(browser, path, **context):
    """The page in a fresh tab; at the end, neither a complaint of the browser nor a question to anybody."""
    context = browser.new_context(viewport={"width": 1000, "height": 900}, **context)
    tab, complaints, asked = context.new_page(), [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready=true]")
    yield tab
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("data:", path.as_uri()))] == []


def drag(tab, slider, place):
    """Set a slider as dragging does, step by step."""
    tab.locator(f"#{slider}").evaluate(
        "(slider, place) => { slider.value = place; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        place,
    )


def said(tab, name):
    return tab.locator(f"#figures div:has(dt:text-is('{name}')) dd").inner_text()


def test_it_loads_without_a_complaint_and_without_asking_anybody(opened):
    assert opened.title() == "What a latency budget buys"
    assert opened.locator("h1").inner_text() == "What a latency budget buys"
    assert opened.locator("#chart polyline").count() == 1


@pytest.mark.parametrize("place", [0, 9, 17, 24])
def test_every_budget_shows_what_the_policy_does_under_it(opened, ladder, place):
    drag(opened, "budget", place)
    budget_ms = budgets_to_try(ladder.policy)[place]
    result = ladder.policy.replay(ladder.fresh, budget_ms)
    assert opened.locator("#budget-said").inner_text() == budget_in_words(budget_ms)
    assert said(opened, "accuracy") == percent(result.accuracy)
    assert said(opened, "mean time") == milliseconds(result.mean_ms)
    assert said(opened, "99 of 100 within") == milliseconds(result.p99_ms)
    assert opened.locator("#words").text_content() == ladder.policy.explain(budget_ms)
    rows = opened.locator("#paths tbody tr").all()
    shown = {row.locator("td").nth(0).inner_text(): row.locator("td").nth(1).inner_text() for row in rows}
    assert shown == {" > ".join(path): percent(n / 400) for path, n in result.path_counts.items()}


def test_dragging_the_mouse_moves_the_budget(opened):
    before = opened.locator("#budget-said").inner_text()
    box = opened.locator("#budget").bounding_box()
    middle = box["y"] + box["height"] / 2
    opened.mouse.move(box["x"] + box["width"] / 2, middle)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] - 2, middle, steps=5)
    opened.mouse.up()
    assert before != "no deadline"
    assert opened.locator("#budget-said").inner_text() == "no deadline"
    assert opened.locator("#answer").inner_text().startswith("Without a deadline and with no load: ")


def test_a_rising_load_makes_plans_cheaper_until_none_fits(opened, ladder):
    drag(opened, "budget", 24)
    n_loads = int(opened.locator("#load").get_attribute("max"))
    times, last = [], ""
    for load in range(n_loads + 1):
        drag(opened, "load", load)
        times.append(float(said(opened, "mean time").removesuffix(" ms")))
        last = opened.locator("#verdict").inner_text() if opened.locator("#verdict").is_visible() else ""
    assert times == sorted(times, reverse=True)
    assert times[-1] == 1.0
    assert times[0] == pytest.approx(ladder.policy.replay(ladder.fresh).mean_ms, rel=1e-3)
    assert last.startswith("More than one lane carries: even the cheapest plan")


def test_a_price_under_load_is_one_that_replay_confirms(opened, ladder):
    drag(opened, "budget", 24)
    drag(opened, "load", 9)
    words = opened.locator("#words").text_content()
    (price,) = [price for price in ladder.policy.decisions().prices if ladder.policy.explain(price=price) == words]
    assert price > ladder.policy.unloaded_price()
    result = ladder.policy.replay(ladder.fresh, price=price)
    assert said(opened, "accuracy") == percent(result.accuracy)
    assert said(opened, "price of a millisecond") == f"{price:.3g}"


def test_a_wanted_accuracy_moves_the_budget_to_the_smallest_that_reaches_it(opened, ladder):
    drag(opened, "budget", 24)
    target = int(opened.locator("#target").get_attribute("max")) // 2
    drag(opened, "target", target)
    wanted = float(opened.locator("#target-said").inner_text().removesuffix(" %")) / 100.0
    budgets = budgets_to_try(ladder.policy)
    reaching = [b for b in budgets[2:] if ladder.policy.replay(ladder.fresh, b).accuracy >= wanted - 1e-9]
    assert opened.locator("#budget-said").inner_text() == budget_in_words(reaching[0])
    assert not opened.locator("#verdict").is_visible()
    drag(opened, "budget", 2)
    assert f"they need {budget_in_words(reaching[0])}." in opened.locator("#verdict").inner_text()


def test_a_budget_that_no_stage_fits_is_said_to_end_late(opened):
    drag(opened, "budget", 0)
    assert (
        opened.locator("#verdict").inner_text() == "No stage fits this budget: the fastest answers all the same, late."
    )


def test_an_accuracy_out_of_reach_is_said(opened):
    drag(opened, "target", int(opened.locator("#target").get_attribute("max")))
    assert re.fullmatch(r"No budget reaches \d+\.\d % under this load\.", opened.locator("#verdict").inner_text())


def test_the_keyboard_reaches_every_slider_and_moves_it(opened):
    names = []
    for _ in range(3):
        opened.keyboard.press("Tab")
        names.append(opened.evaluate("document.activeElement.id"))
        opened.keyboard.press("Home")
        opened.keyboard.press("ArrowRight")
        assert opened.evaluate("document.activeElement.value") == "1"
        outline = opened.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert names == ["budget", "load", "target"]


def test_screen_readers_hear_names_values_and_what_changed(opened):
    from playwright.sync_api import expect

    for name, label in (("budget", "Budget"), ("load", "Load on one lane"), ("target", "Accuracy wanted")):
        slider = opened.get_by_role("slider", name=label)
        assert slider.get_attribute("aria-valuetext") == opened.locator(f"#{name}-said").inner_text()
    drag(opened, "budget", 24)
    assert opened.get_by_role("slider", name="Budget").get_attribute("aria-valuetext") == "no deadline"
    # What is read aloud waits until the slider rests.
    expect(opened.get_by_role("status")).to_contain_text("Without a deadline and with no load")
    assert opened.get_by_role("img", name="Accuracy against mean time").count() == 1
    assert opened.locator("img:not([alt])").count() == 0


def test_examples_are_pictures_grouped_by_their_paths(opened, ladder):
    drag(opened, "budget", 24)
    result = ladder.policy.replay(ladder.fresh)
    heads = [head.inner_text() for head in opened.locator("#examples h3").all()]
    assert heads == sorted(heads, key=lambda head: head.count(" > "))
    assert {head.rsplit(" ", 5)[0] for head in heads} == {" > ".join(path) for path in result.path_counts}
    assert opened.locator("#examples img").first.evaluate("picture => picture.naturalWidth") == 8
    wrong = opened.locator("#examples .wrong").first.inner_text()
    assert re.search(r"says \d, sure 0\.\d\d; wrong, it is \d", wrong)


def test_the_thresholds_are_a_table_on_request(opened, ladder):
    drag(opened, "budget", 24)
    opened.get_by_text("The thresholds as a table").click()
    first = opened.locator("#thresholds tbody tr").first
    assert first.inner_text().split("\t")[0] == "start"
    n_rows = sum(len(row.intervals) for row in ladder.policy.thresholds())
    assert opened.locator("#thresholds tbody tr").count() == n_rows


def test_a_curve_alone_shows_its_points_and_hides_what_it_does_not_know(browser, ladder, tmp_path):
    path = tmp_path / "curve.html"
    ladder.curve.to_html(path)
    with opened_in(browser, path) as tab:
        drag(tab, "budget", int(tab.locator("#budget").get_attribute("max")))
        assert said(tab, "accuracy") == percent(ladder.curve.accuracy[-1])
        assert said(tab, "interval") == interval(ladder.curve.ci_low[-1], ladder.curve.ci_high[-1])
        assert not tab.locator("#plan, #mix, #shown").filter(visible=True).count()
        tab.get_by_text("The chart as a table").click()
        assert tab.locator("#points tbody tr").count() == len(ladder.curve) + 3 + 1


def test_a_hostile_name_is_shown_and_not_run(browser, ladder, tmp_path):
    evil = "</script><img src=x onerror=alert(1)>"
    outcomes = cascade.Outcomes.from_predictions(
        ladder.known.predicted, ladder.known.confidence, ladder.known.labels, stages=["a", "b", evil]
    )
    curve = cascade.frontier(outcomes, replace(ladder.service, stages=outcomes.stages), n_bootstrap=100, progress=False)
    path = tmp_path / "evil.html"
    path.write_text(page_of(curve, title=evil), encoding="utf-8")
    with opened_in(browser, path) as tab:
        assert tab.title() == evil
        assert tab.locator("img").count() == 0
        assert evil in tab.locator("#points").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_light_and_in_dark(browser, file, scheme):
    with opened_in(browser, file, color_scheme=scheme) as tab:
        for selector in ("body", "#answer", "#target-help", ".legend", "#about"):
            assert contrast(tab, selector) >= 4.5, selector


def contrast(tab, selector):
    """Contrast of text and ground as the guidelines for accessible pages define it."""
    return tab.locator(selector).first.evaluate(
        """element => {
          const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
            .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
          let ground = element;
          while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
          const [low, high] = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(light).sort((a, b) => a - b);
          return (high + 0.05) / (low + 0.05);
        }"""
    )


def test_a_phone_needs_no_sideways_scrolling(browser, file):
    with opened_in(browser, file) as tab:
        tab.set_viewport_size({"width": 360, "height": 740})
        for details in tab.locator("details").all():
            details.evaluate("element => { element.open = true; }")
        assert tab.evaluate("document.documentElement.scrollWidth") == 360


def test_the_printed_page_keeps_the_numbers_and_drops_the_sliders(opened):
    opened.emulate_media(media="print")
    assert not opened.locator("#budget").is_visible()
    assert opened.locator("#budget-said").is_visible()
    assert opened.locator("#figures").is_visible()


def test_the_picture_of_the_page_is_not_empty(opened):
    opened.locator("#chart").scroll_into_view_if_needed()
    shot = opened.locator("#chart").screenshot()
    image = pytest.importorskip("matplotlib.image")
    pixels = image.imread(BytesIO(shot), format="png")[..., :3].reshape(-1, 3)
    colours = np.unique(np.round(255 * pixels).astype(int), axis=0)
    # The blue of the curve, the vermilion of the single stages and the green of what is chosen.
    for wanted in ((0, 114, 178), (184, 79, 0), (0, 117, 79)):
        assert (np.abs(colours - wanted).max(axis=1) <= 3).any(), wanted
