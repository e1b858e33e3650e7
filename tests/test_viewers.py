"""Viewers alone in a real browser: one page load a viewer, whatever it is shown.

What they show comes from tiny random models, one for each move that an attention can make.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.tracing import Trace
from captioner.translations.translator import Translator
from captioner.ui.desk import Desk
from captioner.ui.values import data_url, view
from tests import variants
from tests.viewing import Alone

SAID = "a dog runs over the log"
WORDS = [*SAID.split(), "(end)"]
COUNT = variants.GRID[0] * variants.GRID[1]
SHOWN = {  # what the cards of a variant say or draw besides everyone's
    "location": ["The query alone says where to look"],
    "heads": ["Head 3"],
    "local_m": ["it moves on with the words", "1 window"],
    "local_p": ["The query predicts where to look", "passes under the window", "1 window"],
    "hard argmax": ["the likeliest: the glimpse", "1 glimpse", "the one place that was looked at"],
    "hard sample": ["drawn by these shares", "1 glimpse"],
    "hard": ["Trained with single glimpses"],
    "sentinel": ["looking at nothing", "2 shares"],
    "coverage": ["how much its place has been looked at so far", "1 small"],
    "input feeding": ["It has also read what the step before had found"],
    "transformer": ["layer 1 of the decoder asks", "Layer 2 · head 3"],
    "refinement": ["the cells look at one another", "1 among"],
}
FORMULAS = {
    "additive": "e_j = vᵀ tanh(W q + U k_j)",
    "dot": "e_j = q · k_j",
    "scaled_dot": "e_j = q · k_j / √d",
    "general": "e_j = qᵀ W k_j",
    "cosine": "e_j = τ · cos(q, k_j)",
    "location": "e_j = (W q)_j",
    "coverage": "e_j = vᵀ tanh(W q + U k_j + w Σα_j)",
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photo") / "noise.png"
    noise = np.random.default_rng(3).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(noise).resize((128, 128), Image.Resampling.NEAREST).save(path)
    return str(path)


def desk_of(captioner: Captioner, translator: Translator | None = None) -> Desk:
    desk = Desk(captioner)
    desk.translator = translator
    return desk


@pytest.fixture(scope="module")
def plain() -> Desk:
    return desk_of(variants.captioner("additive"))


@pytest.fixture
def alone(browser: Any) -> Iterator[Any]:
    """A page with one viewer; at the end nothing was amiss in it and nobody was asked."""
    opened: list[Alone] = []
    contexts = []

    def make(viewer: str, **settings: Any) -> Alone:
        context = browser.new_context(offline=True, **settings)
        contexts.append(context)
        opened.append(Alone(context, viewer))
        return opened[-1]

    yield make
    assert [found.errors for found in opened] == [[] for _ in opened]
    for context in contexts:
        context.close()


def axe_of(found: Alone) -> list[Any]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found.page.evaluate(axe.axe_script)
    answer = found.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in answer["violations"]]


# Inside one step


def test_every_variant_opens_and_shows_its_own_moves(alone: Any, picture: str) -> None:
    found = alone("steps")
    cards = found.page.locator(".cards")
    for name in variants.CAPTIONS:
        captioner = variants.captioner(name)
        found.show(desk_of(captioner).inside(picture, SAID))
        cards.locator(".next").wait_for()
        found.page.locator(".slider").fill("2")
        text = cards.inner_text()
        assert cards.locator(".card").count() == 5 + (name == "refinement"), name
        assert found.page.locator(".words [aria-pressed=true]").inner_text() == "runs"
        said = found.page.locator(".head").inner_text() + text
        for expected in SHOWN.get(name, []):
            count, _, part = expected.partition(" ")
            if count.isdecimal() and part in ("window", "glimpse", "small", "shares", "among"):
                where = {"shares": ".shares > span", "small": ".memory.small"}.get(part, f".{part}")
                scores = cards.locator(f".softmax {where}" if part != "small" else where)
                drawn = scores.count() if part != "among" else cards.locator(where).count()
                assert drawn == int(count), (name, expected)
            else:
                assert expected in said, (name, expected)
        formula = FORMULAS.get(name)
        if formula:
            line = cards.locator(".scores .equation").inner_text()
            assert line == formula.replace("_j", "j"), name
    assert axe_of(found) == []


def test_one_place_moves_in_all_cards_and_numbers_stand_under_the_pointer(
    alone: Any, picture: str, plain: Desk
) -> None:
    value = plain.inside(picture, SAID)
    trace: Trace = plain.album[picture].look.trace(SAID).trace
    found = alone("steps")
    found.show(value)
    page = found.page
    page.locator(".cards .next").wait_for()
    page.locator(".slider").fill("3")
    readouts = page.locator(".readout")
    assert not readouts.first.is_visible()
    grid = page.locator(".scores .grid canvas")
    box = grid.bounding_box()
    seen = set()
    for place in (0, 6, COUNT - 1):
        row, column = divmod(place, variants.GRID[1])
        x = (column + 0.5) * box["width"] / variants.GRID[1]
        y = (row + 0.5) * box["height"] / variants.GRID[0]
        grid.hover(position={"x": x, "y": y})
        score, weight = trace.scores[3, 0, place], trace.weights[3, 0, place]
        told = readouts.all_inner_texts()
        assert f"e{place + 1} = {score:.2f}".replace("-", "−") in told[0]
        assert told[1].split("\n")[0].endswith(f"= {100 * weight:.1f} %")
        vector = page.locator(".sum .vector").first
        assert vector.locator(".name").inner_text().startswith(f"{100 * weight:.1f} % × v")
        seen.add(vector.locator("canvas").evaluate("canvas => canvas.toDataURL()"))
        rings = page.locator(".ring:visible")
        assert rings.count() == 2
        for ring, other in _pairs(rings, page):  # to the pixel, but for rounding
            left = column * box["width"] / variants.GRID[1]
            assert ring["x"] - other["x"] == pytest.approx(left, abs=1.5)
    assert len(seen) == 3
    page.locator(".head").hover()
    assert not readouts.first.is_visible()
    # By keyboard, and heard
    page.locator(".scores .memory").focus()
    page.keyboard.press("ArrowRight")
    assert readouts.first.is_visible()
    assert "e" in page.locator(".live").inner_text()
    page.locator(".slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".words [aria-pressed=true]").inner_text() == WORDS[4]
    assert page.locator(".slider").get_attribute("aria-valuetext") == WORDS[4]
    assert found.told() == []  # nobody was asked


def _pairs(rings: Any, page: Any) -> list[tuple[Any, Any]]:
    boxes = [ring.bounding_box() for ring in rings.all()]
    grids = [grid.bounding_box() for grid in page.locator(".grid:has(.ring:visible)").all()]
    return list(zip(boxes, grids, strict=True))


def test_vectors_are_those_that_are_summed(alone: Any, picture: str, plain: Desk) -> None:
    trace = plain.album[picture].look.trace(SAID).trace
    found = alone("steps")
    found.show(plain.inside(picture, SAID))
    found.page.locator(".cards .next").wait_for()
    strip = found.page.locator(".sum .vector").first.locator("canvas")
    box = strip.bounding_box()
    best = int(trace.weights[0, 0].argmax())
    size = trace.contents.shape[-1]
    for number in (0, size // 2, size - 1):
        strip.hover(position={"x": (number + 0.5) * box["width"] / size, "y": box["height"] / 2})
        value = f"{trace.contents[0, best, number]:.2f}".replace("-", "−")
        told = found.page.locator(".sum .told").first.inner_text()
        assert told == f"number {number + 1} of {size}: {value}"


@pytest.mark.parametrize("name", variants.TRANSLATIONS)
def test_a_sentences_words_are_places_too(alone: Any, name: str) -> None:
    translator = variants.translator(name)
    desk = desk_of(variants.captioner("additive"), translator)
    _, value = desk.translate("A dog runs over the log.", "de", "en")
    found = alone("steps")
    found.show(value)
    page = found.page
    page.locator(".cards .next").wait_for()
    places = page.locator(".softmax .place")
    assert places.last.inner_text() == "(end)"
    assert page.locator(".among").count() == ("self-attention" in name)
    if "self-attention" in name:
        read = translator.trace(translator("A dog runs over the log.", to="de"))
        assert read.self_attention is not None
        weights = read.self_attention.weights[1, 0, 1]  # what the second piece looked at
        page.locator(".among .place").nth(1).hover()
        best = page.locator(".among .place .text").nth(int(weights.argmax())).inner_text()
        told = page.locator(".among .readout").inner_text()
        assert told.endswith(f"looked most at {best}: {100 * weights.max():.1f} %")
        assert page.locator(".place.on").count() == 3
    else:
        assert page.locator(".softmax .place.window").count()
        assert page.locator(".softmax .place.centre").count() == 1
    assert axe_of(found) == []


def test_two_memories_and_their_shares(alone: Any, seen_weights: Path, seen_world: Path) -> None:
    desk = desk_of(variants.captioner("additive"), Translator.load(seen_weights))
    _, value = desk.translate("A ball.", "de", "en", str(seen_world / "red.png"))
    found = alone("steps")
    found.show(value)
    found.page.locator(".cards .next").wait_for()
    softmax = found.page.locator(".softmax")
    assert softmax.locator(".place").last.inner_text() == "(end)"
    assert softmax.locator(".grid").count() == 1
    shares = softmax.locator(".shares .share").all_inner_texts()
    photo = value["steps"][0]["extras"]["photo_share"][0][0]
    first, second = (int(share.removesuffix(" %")) for share in shares)
    assert first + second == 100
    assert first == pytest.approx(100 * (1 - photo), abs=0.51)
    # A word and a cell move alike
    softmax.locator(".place").first.hover()
    assert "α1 = " in softmax.locator(".readout").inner_text()
    softmax.locator(".grid canvas").hover(position={"x": 3, "y": 3})
    first = len(value["memories"][0]["positions"]) + 1
    assert f"α{first} = " in softmax.locator(".readout").inner_text()


def test_a_whole_screen(alone: Any, picture: str, plain: Desk) -> None:
    found = alone("steps", viewport={"width": 1280, "height": 900})
    found.show(plain.inside(picture, SAID))
    page = found.page
    page.locator(".cards .next").wait_for()
    page.get_by_role("button", name="Full screen").click()
    page.get_by_role("button", name="Leave full screen").wait_for()
    boxes = [card.bounding_box() for card in page.locator(".card").all()]
    assert all(box["y"] < 900 for box in boxes)
    page.get_by_role("button", name="Leave full screen").click()
    page.get_by_role("button", name="Full screen", exact=True).wait_for()


# The tree of what else it could have said


# The tree waits until the map is painted.
TREE = "() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 50)))"
_CHANGES = """async () => {
  const [one, other] = document.querySelectorAll(".main .word");
  const branches = document.querySelector(".tree .branches");
  one.dispatchEvent(new PointerEvent("pointerenter"));
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 50)));
  const found = [];
  const seen = new MutationObserver((changes) => found.push(...changes));
  seen.observe(document.body, {attributes: true, childList: true, subtree: true});
  const nameOf = ({type, target, attributeName}) =>
    (attributeName || type) + " of " + target.className.split(" ")[0];
  const before = branches.firstChild;
  const canvas = document.querySelector("canvas.photo");
  const map = canvas.toDataURL();
  other.dispatchEvent(new PointerEvent("pointerenter"));
  const at = seen.takeRecords().map(nameOf).sort();
  const painted = canvas.toDataURL() !== map && branches.firstChild === before;
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 50)));
  const later = [...found, ...seen.takeRecords()].map(nameOf);
  seen.disconnect();
  return [painted, at, [...new Set(later)].sort(), branches.firstChild !== before];
}"""


def test_a_touch_changes_nothing_but_what_it_shows(alone: Any, picture: str, plain: Desk) -> None:
    *_, (value, _) = plain.write(picture)
    found = alone("viewer", viewport={"width": 1000, "height": 900})
    found.show(value)
    found.page.wait_for_function("document.querySelector('canvas.photo').style.aspectRatio")
    painted, at_once, later, drawn = found.page.evaluate(_CHANGES)
    assert painted  # the map is there, and the tree waits for the next frame
    assert drawn
    assert set(at_once) == {"childList of told", "class of word"}
    assert at_once.count("class of word") == 2  # the one that was lit, and the one that is
    assert {"childList of branches"} <= set(later)
    allowed = {"branches", "curves", "path", "tree-hint", "tree"}
    assert {change.rpartition(" ")[2] for change in later} <= allowed


def test_the_tree_shows_the_path_and_its_branches(alone: Any, picture: str, plain: Desk) -> None:
    *_, (value, written) = plain.write(picture)
    words = written.caption().words
    found = alone("viewer", viewport={"width": 1000, "height": 900})
    found.show(value)
    page = found.page
    buttons = page.locator(".main .word")
    buttons.nth(1).hover()
    tree = page.locator(".tree")
    page.evaluate(TREE)
    assert tree.locator(".path").inner_text() == words[0].text
    assert tree.locator("li.chosen .text").inner_text() == words[1].text
    others = [text for text, _ in words[1].alternatives if text != words[1].text][:4]
    shown = tree.locator("button.other .text").all_inner_texts()
    assert shown == ["(end)" if text == "." else text for text in others]
    rest = " ".join(word.text for word in words[2:])
    assert rest == tree.locator("li.chosen .after").inner_text()
    # The pointer reaches it over the photo; nothing moves on the way
    box = page.locator("canvas.photo").bounding_box()
    page.locator("canvas.photo").hover(position={"x": 5, "y": 5})
    assert tree.locator("li.chosen .text").inner_text() == words[1].text
    tree.locator("button.other").first.hover()
    assert page.locator(".main .word.on .text").inner_text().lower() == words[1].text
    assert page.locator("canvas.photo").bounding_box() == box
    assert found.told() == []  # nobody was asked
    tree.locator("button.other").first.click()
    before = [words[0].text]
    assert found.told() == [["select", {"before": before, "word": others[0]}]]
    # By keyboard: down into the tree, and back to the word
    buttons.nth(2).focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.className") == "other"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    assert buttons.nth(2).evaluate("word => word === document.activeElement")
    assert axe_of(found) == []


def test_the_tree_by_touch_on_a_phone(alone: Any, picture: str, plain: Desk) -> None:
    *_, (value, written) = plain.write(picture)
    found = alone("viewer", viewport={"width": 390, "height": 844}, has_touch=True)
    found.show(value)
    found.page.locator(".main .word").nth(2).tap()
    branch = found.page.locator(".tree button.other").first
    text = branch.locator(".text").inner_text()
    branch.tap()
    (told,) = found.told()
    before = [word.text for word in written.caption().words[:2]]
    assert told == ["select", {"before": before, "word": "." if text == "(end)" else text}]
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert axe_of(found) == []


# What if


def test_one_click_covers_where_a_word_looked_and_another_as_much_elsewhere(
    alone: Any, picture: str, plain: Desk
) -> None:
    value, caption = plain.paint(picture, None, [])
    found = alone("viewer", viewport={"width": 1000, "height": 900})
    found.show(value)
    page = found.page
    index = value["suggested"]
    word = caption.words[index].text
    tools = page.locator(".cover .tool")
    assert tools.all_inner_texts() == [f"Cover where “{word}” looked", "Cover as much elsewhere"]
    for place, kind in enumerate(("looked", "elsewhere")):
        tools.nth(place).click()
        page.wait_for_function("window.told.length > 0")
        (told,) = found.told()
        cells = [{"cell": cell} for cell in value["covers"][index][kind]]
        covering = {"index": index, "kind": kind}
        assert told == ["paint", {"strokes": cells, "covering": covering}]
        answer, _ = plain.paint(picture, caption, cells, covering=covering)
        assert answer["covering"] == covering
        found.show(answer)
        assert tools.nth(place).get_attribute("aria-pressed") == "true"
        exact = [100 * (one["after"] - one["prob"]) for one in answer["moved"]["words"]]
        changes = [floor(change + 0.5) for change in exact]
        moves = page.locator(".moved .move")
        assert moves.count() == len(changes)
        for node, change in zip(moves.all(), changes, strict=True):
            kinds = node.get_attribute("class").split()
            small = abs(change) < 3
            assert ("stayed" in kinds) == small
            assert ("fell" in kinds, "rose" in kinds) == (change <= -3, change >= 3)
            height = node.locator("i").evaluate("bar => parseFloat(bar.style.height)")
            assert height == pytest.approx(min(50, abs(change) / 2), abs=0.01)
        meaning = page.locator(".meaning").inner_text()
        assert f"“{word}”" in meaning
        assert meaning.count(".") >= 1
    assert page.locator(".trial").count() == 2
    # Another word is chosen by a click
    page.locator(".moved .word").first.click()
    first = caption.words[0].text
    assert tools.first.inner_text() == f"Cover where “{first}” looked"
    assert axe_of(found) == []


MEANT = [  # (looked, elsewhere) in points, what is said
    ((-51, None), "lost 51 points without the place it looked at"),
    ((-1, None), "did not need the place it looked at"),
    ((9, None), "gained 9 points"),
    ((None, -4), "As much covered elsewhere moved “dog” by −4 points"),
    ((-51, -4), "The word hangs on what it looked at: “dog” moved by −51 points"),
    ((-2, 1), "Neither cover mattered to “dog” (−2 and +1 points)"),
    ((-2.6, None), "lost 3 points without the place it looked at"),
    ((-2.4, None), "did not need the place it looked at"),
    ((-8, -20), "Where “dog” looked was not special: −8 points"),
]


def test_what_it_means_is_said_in_one_sentence(alone: Any) -> None:
    cell = {"looked": [0], "elsewhere": [3]}
    found = alone("viewer")
    photo = data_url(Image.new("RGB", (2, 2)))
    base = {"photo": photo, "paint": True, "fixed": True, "grid": [2, 2], "peak": 1, "maps": ""}
    for number, ((looked, elsewhere), said) in enumerate(MEANT):
        caption = f"a dog {number}"
        for kind, change in (("looked", looked), ("elsewhere", elsewhere)):
            if change is None:
                continue
            words = [
                {"text": "a", "prob": 0.9, "after": 0.9},
                {"text": "dog", "prob": 0.6, "after": 0.6 + change / 100},
            ]
            moved = {"caption": caption, "words": words, "maps": "", "spread": []}
            covering = {"index": 1, "kind": kind}
            more = {"covers": [cell, cell], "suggested": 1, "covering": covering, "moved": moved}
            found.show({**base, "words": words, "caption": "now", **more})
        assert said in found.page.locator(".meaning").inner_text()
    moved["words"][0]["after"] = 0.3
    found.show({**base, "words": words, "caption": "now", **more, "covering": None})
    assert found.page.locator(".meaning").inner_text().startswith("“a” lost most, 60 points")


# Many photos


def sheet_of(count: int, run: str = "one") -> dict[str, Any]:
    rows = [
        {
            "file": f"{number:02}.jpg",
            "caption": f"A dog number {number}.",
            "alt": f"A dog number {number}.",
            "error": "",
            "thumbnail": "",
            "prob": 0.5,
            "spread": 0.1,
            "unsure": number == 3,
            "doubtful": number % 4,
            "words": 4,
            "doubt": (number * 7 % count) / count,
            "other": "",
        }
        for number in range(count)
    ]
    rows[1] = {**rows[1], "caption": "", "alt": "", "error": "01.jpg: it is empty"}
    counts = {"done": count, "total": count, "failed": 1}
    return {**counts, "rows": rows, "run": run, "models": []}


def test_the_sheet_is_sorted_walked_and_corrected(alone: Any) -> None:
    found = alone("table", viewport={"width": 1000, "height": 900})
    value = sheet_of(8)
    found.show({**value, "rows": value["rows"][:4], "done": 4})
    page = found.page
    assert page.locator("[role=progressbar]").get_attribute("aria-valuenow") == "4"
    first = page.locator("textarea").first
    first.fill("A brown dog.")
    found.show(value)  # further rows came: what was corrected stays, and so does the cursor
    assert page.evaluate("document.activeElement.value") == "A brown dog."
    assert first.input_value() == "A brown dog."
    assert page.locator(".item").count() == 8
    assert page.locator(".status").inner_text() == "8 of 8\n1 failed"
    assert page.locator(".failed .error").inner_text() == "01.jpg: it is empty"
    assert page.locator(".original").first.inner_text() == "Original: A dog number 0.\nUndo"
    assert page.locator(".corrected").inner_text() == "1 corrected"
    assert page.locator(".item img").first.get_attribute("alt") == "A brown dog."
    assert page.evaluate("window.props.value.edits") == {"0": "A brown dog."}
    page.keyboard.press("Enter")  # to the next text, past the one that failed
    assert page.evaluate("document.activeElement.value") == "A dog number 2."
    # Sorted by doubt, and walked in that order
    page.locator(".order select").select_option("byDoubt")
    shown = page.locator(".meta .file").all_inner_texts()
    rows = [row for row in value["rows"] if not row["error"]]
    assert shown == [row["file"] for row in sorted(rows, key=lambda row: -row["doubt"])]
    page.get_by_role("button", name="Next").click()
    page.locator(".open[aria-pressed=true]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    asked = [data["index"] for name, data in found.told() if name == "select"]
    order = [int(name[:2]) for name in shown]
    assert asked == [order[0], order[1], order[2], order[1]]
    assert page.locator(".chosen").count() == 1
    assert page.evaluate("document.activeElement.ariaLabel").endswith(shown[1])
    page.locator(".order select").select_option("byFile")
    page.get_by_role("button", name="Undo").locator("visible=true").click()
    assert page.evaluate("window.props.value.edits") == {}
    assert page.locator(".original:visible").count() == 0
    assert axe_of(found) == []
    found.show(sheet_of(3, "two"))  # another run: what was corrected is forgotten
    assert page.locator(".item").count() == 3
    assert page.locator(".corrected").inner_text() == ""


def test_all_texts_are_copied(browser: Any) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    found = Alone(context, "table")
    found.show(sheet_of(3))
    found.page.locator("textarea").last.fill("A cat.")
    found.page.evaluate("document.execCommand = () => { window.copied = window.area; }")
    found.page.evaluate(
        "navigator.clipboard ? (navigator.clipboard.writeText = async (t) => (window.area = t)) : 0"
    )
    found.page.get_by_role("button", name="Copy all").click()
    found.page.get_by_role("button", name="Copied").wait_for()
    copied = found.page.evaluate("window.area")
    assert copied in ("A dog number 0.\nA cat.", None)  # a page of no address has no clipboard
    context.close()


def test_twenty_rows_read_well_on_a_phone(alone: Any) -> None:
    found = alone("table", viewport={"width": 390, "height": 844}, has_touch=True)
    found.show(sheet_of(20))
    page = found.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [item.bounding_box() for item in page.locator(".item").all()]
    assert max(box["height"] for box in boxes) < 150
    assert {round(box["x"]) for box in boxes} == {round(boxes[0]["x"])}
    texts = page.locator("textarea")
    assert texts.first.evaluate("area => parseFloat(getComputedStyle(area).fontSize)") >= 15
    assert axe_of(found) == []


def test_two_models_stand_side_by_side(alone: Any) -> None:
    found = alone("table")
    value = sheet_of(3)
    found.show(value)
    value["rows"][0]["other"] = "A black dog number 0."
    found.show({**value, "models": ["old", "new"]})
    models = found.page.locator(".item").first.locator(".models")
    assert models.locator("dt").all_inner_texts() == ["old", "new"]
    assert models.locator("mark").all_inner_texts() == ["black"]
    last = found.page.locator(".item").last.locator(".models dd").last
    assert last.inner_text() == "nothing said"
    assert axe_of(found) == []


def test_cards_of_models_with_other_grids_show_their_own_maps(
    alone: Any, picture: str, plain: Desk
) -> None:
    one = plain.captioner(picture)
    other = desk_of(variants.captioner("heads")).captioner.explain(picture, "A dog runs.")
    maps = np.full((len(other.words), 2, 3), 1 / 6, np.float32)
    value = view(one, others=[("b", _with(other, maps))], title="a")
    found = alone("viewer")
    found.show({**value, "fixed": True})
    page = found.page
    page.locator("canvas.photo[width='128']").wait_for()
    page.locator(".card").nth(1).click()
    assert page.evaluate("window.props.value.grid") == [2, 3]
    page.locator(".main .word").first.hover()
    assert "looked at 100 % of the photo" in page.locator(".detail").inner_text()


def _with(caption: Any, maps: Any) -> Any:
    import dataclasses

    return dataclasses.replace(caption, maps=maps)


ODD = {(2, 3000): "171", (3000, 2): "1024", (1, 1): "64", (300, 200): "300"}


def test_strips_and_specks_can_be_seen_and_pointed_at(
    alone: Any, tmp_path: Path, plain: Desk
) -> None:
    drawing, steps = alone("viewer"), alone("steps")
    for (width, height), drawn in ODD.items():
        path = str(tmp_path / f"{width}x{height}.png")
        Image.new("RGB", (width, height), "orange").save(path)
        value, caption = plain.paint(path, None, [])
        drawing.show(value)
        page = drawing.page
        canvas = page.locator(f"canvas.photo[width='{drawn}']")
        canvas.wait_for()
        box = canvas.bounding_box()
        assert min(box["width"], box["height"]) >= 40
        assert max(box["width"], box["height"]) >= 200
        strip = max(width / height, height / width) > 6
        assert ("drawn stretched" in page.locator(".honest").inner_text()) is strip
        steps.show(plain.inside(path, caption.text))
        grid = steps.page.locator(".scores .grid canvas")
        grid.wait_for()
        box = grid.bounding_box()
        assert min(box["width"], box["height"]) >= 25


def test_a_brush_covers_of_a_strip_what_it_covers_of_the_photo(
    alone: Any, tmp_path: Path, plain: Desk
) -> None:
    path = str(tmp_path / "strip.png")
    Image.new("RGB", (4, 800), "orange").save(path)
    value, _ = plain.paint(path, None, [])
    found = alone("viewer")
    found.show({**value, "fill": [0, 0, 255]})
    page = found.page
    canvas = page.locator("canvas.photo[width='133']")
    canvas.wait_for()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    blue = page.evaluate(
        """() => { const canvas = document.querySelector("canvas.photo");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return Array.from({length: data.length / 4}, (_, i) => data[4 * i + 2] > 200); }"""
    )
    seen = np.array(blue).reshape(800, 133)
    assert seen[400].all()  # all across
    assert 60 < seen.any(1).sum() < 84  # 9 % of the longer side


def test_whoever_has_no_pointer_reads_the_numbers_of_a_step(
    alone: Any, picture: str, plain: Desk
) -> None:
    found = alone("steps")
    found.show(plain.inside(picture, SAID))
    page = found.page
    page.locator(".cards .next").wait_for()
    vector, told = page.locator(".query .strip"), page.locator(".query .told")
    vector.focus()
    read = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        page.keyboard.press(key)
        read.append(told.inner_text())
        assert read[-1] in page.locator(".live").inner_text()
    assert read[0] == read[2] != read[1] != read[3]
    page.keyboard.press("Tab")
    assert told.inner_text() == ""
    bars = page.locator(".next .bars")
    shown = "all => all.map(one => getComputedStyle(one).opacity)"
    assert "0" in bars.locator("b").evaluate_all(shown)
    for _ in range(8):
        if bars.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press("Tab")
    assert set(bars.locator("b").evaluate_all(shown)) == {"1"}
    assert bars.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    assert axe_of(found) == []
