"""All HTML pages in a real Chromium: no error, no sideways scroll, accessible, by keyboard."""

import pytest

import every_result
from browser import Looked, browser, missing
from mmcore._exploration.races import folded, racing, stops

WHY_NOT = missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


def page_of(name, folder):
    path = folder / f"{name.replace(' ', '-')}.html"
    every_result.result(name, folder).to_html(path)
    return path


def test_faults_of_a_web_page_are_seen(chromium, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        '<html lang="en"><title>t</title><main><h1>h</h1><p style="width:2000px;color:#ddd">pale'
        "<script>console.error('oh'); undefined.x</script>"
    )
    with Looked(chromium, path, width=PHONE) as looked:
        wrong = "\n".join(looked.problems())
    for each in ("console: oh", "error: ", "scrolls sideways: ", "color-contrast: <p"):
        assert each in wrong


@pytest.mark.parametrize("name", every_result.RESULTS)
def test_a_page_is_clean_on_a_phone_and_on_a_desk_in_light_and_dark(chromium, name, folder):
    with Looked(chromium, page_of(name, folder), width=PHONE, dark=True) as looked:
        assert looked.problems() == []
        back = looked.page.evaluate("getComputedStyle(document.body).backgroundColor")
        looked.change(width=DESK, dark=False)
        assert looked.problems() == []
        assert back != looked.page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.fixture
def race(folder):
    return every_result.result("counterexample", folder)


def number_of(looked):
    return int(looked.page.locator("[aria-current]").get_attribute("data-step"))


def hint_of(looked):
    return looked.page.locator(".hint").inner_text()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_all_threads_are_in_view_and_a_line_joins_what_races(chromium, race, folder, width):
    pairs = racing(race.trace)
    with Looked(chromium, page_of("counterexample", folder), width=width) as looked:
        for first, second in pairs:
            boxes = [
                looked.page.locator(f'[data-step="{each}"]').bounding_box()
                for each in (first, second)
            ]
            assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
            ends = sorted([box["x"] for box in boxes])
            assert ends[0] + boxes[0]["width"] <= ends[1], "the threads stand side by side"
        lines = looked.page.locator(".joins path")
        assert lines.count() == len(pairs) > 0
        line, left = lines.first.bounding_box(), min(boxes, key=lambda box: box["x"])
        assert abs(line["x"] - left["x"] - left["width"]) < 4
        assert line["height"] > 50


def test_arrow_keys_step_through_the_race(chromium, race, folder):
    halts = stops(race.trace)
    with Looked(chromium, page_of("counterexample", folder)) as looked:
        keys = looked.page.keyboard
        # The page begins at the step that breaks the rule.
        assert number_of(looked) == halts[-1] == len(race.trace) - 1
        for expected in reversed(halts[:-1]):
            keys.press("ArrowLeft")
            assert number_of(looked) == expected
            assert f"step {expected}, thread {race.trace[expected].name}" in hint_of(looked)
            assert race.trace[expected].place in hint_of(looked)
        keys.press("ArrowLeft")
        assert number_of(looked) == halts[0], "the first is the last on the way back"
        for expected in halts[1:]:
            keys.press("ArrowRight")
            assert number_of(looked) == expected
        assert looked.page.evaluate("document.activeElement.dataset.step") == str(halts[-1])
        keys.press("Home")
        assert number_of(looked) == 0
        keys.press("ArrowDown")
        # Steps that are folded away are passed over.
        assert number_of(looked) == [at for at in folded(race.trace) if isinstance(at, int)][1]
        keys.press("ArrowUp")
        assert number_of(looked) == 0
        assert looked.wrong == []


def test_one_step_is_in_reach_of_the_tab_key(chromium, folder):
    with Looked(chromium, page_of("counterexample", folder)) as looked:
        assert looked.page.locator('[data-step][tabindex="0"]').count() == 1


def test_a_step_is_explained_under_the_pointer(chromium, race, folder):
    first, second = racing(race.trace)[0]
    with Looked(chromium, page_of("counterexample", folder)) as looked:
        looked.page.locator(f'[data-step="{first}"]').hover()
        assert f"Races with step {second}" in hint_of(looked)
        assert race.trace[first].function in hint_of(looked)
        looked.page.locator("h1").hover()
        assert "breaks the rule" in hint_of(looked), "back to the step at the cursor"


def test_long_runs_fold_and_unfold(chromium, race, folder):
    away = [at for at in folded(race.trace) if isinstance(at, range)]
    hidden = away[0][1]
    with Looked(chromium, page_of("counterexample", folder)) as looked:
        step = looked.page.locator(f'[data-step="{hidden}"]')
        assert not step.is_visible()
        high = looked.page.locator(".joins path").first.bounding_box()["height"]
        looked.page.locator("summary").first.press("Enter")
        assert step.is_visible()
        looked.page.locator("summary").first.press("Enter")
        assert not step.is_visible()
        looked.page.get_by_role("button", name="unfold all").click()
        assert step.is_visible()
        # "Where it was made" stays folded.
        assert looked.page.locator("details:not([open])").count() == 1
        # A line goes with its steps.
        first, second = racing(race.trace)[0]
        boxes = [looked.page.locator(f'[data-step="{n}"]').bounding_box() for n in (first, second)]
        looked.page.wait_for_function(
            "at => document.querySelector('.joins path').getBoundingClientRect().height != at",
            arg=high,
        )
        line = looked.page.evaluate("document.querySelector('.joins path').getBBox().height")
        between = boxes[1]["y"] + boxes[1]["height"] / 2 - boxes[0]["y"] - boxes[0]["height"] / 2
        assert abs(line - between) < 1
        assert looked.problems() == []


def test_a_race_can_be_read_without_scripts(chromium, race, folder):
    path = page_of("counterexample", folder)
    with Looked(chromium, path, width=PHONE, scripts=False) as looked:
        assert looked.page.locator("[data-step]").count() == len(race.trace)
        first, second = racing(race.trace)[0]
        step = looked.page.locator(f'[data-step="{first}"]')
        assert f"races with step {second}" in step.inner_text()
        assert race.trace[first].place in step.get_attribute("title")
        looked.page.locator("summary").first.click()
        assert looked.page.locator('[data-step="2"]').is_visible()


def test_the_moves_of_a_compaction_go_by_keys(chromium, folder):
    moves = len(every_result.result("moves of a run", folder).moves)
    with Looked(chromium, page_of("moves of a run", folder), width=PHONE) as looked:
        status = looked.page.get_by_role("status")
        assert f"before the first of {moves} moves" in status.inner_text()
        looked.page.keyboard.press("ArrowRight")
        assert f"move 1 of {moves}" in status.inner_text()
        looked.page.keyboard.press("ArrowLeft")
        assert "before the first" in status.inner_text()
        looked.page.get_by_role("button", name="last").click()
        assert f"move {moves} of {moves}" in status.inner_text()
        assert looked.problems() == []
