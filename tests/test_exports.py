from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.geometry import Geometry
from captioner.prediction import Caption, Captioner, Word
from captioner.ui import assets, batches, exports, imports, values
from captioner.ui.batches import Progress, caption_many, rows

HOSTILE = (
    "</script><script>boom()</script>",
    "<img src=x onerror=boom()>",
    "<!--<script>",
    '"><svg onload=boom()>',
    "${boom()}`{{boom()}}\\",
    "]]>&lt;script&gt;\u2028\u2029\x00\x7f",
    "'; boom(); '",
    "<a href='javascript:boom()'>dog</a>",
)


def _caption(words: tuple[str, ...], text: str = "", **fields: Any) -> Caption:
    """A caption with maps of 2×3 cells on an orange photo."""
    rng = np.random.default_rng(7)
    maps = rng.dirichlet(np.ones(6), len(words)).reshape(-1, 2, 3).astype(np.float32)
    photo = Image.new("RGB", (83, 47), (200, 120, 40))
    entries = tuple(Word(w, 0.25, -1.386, ((w, 0.25), ("b" + w, 0.125))) for w in words)
    values = {
        "log_prob": -2.5,
        "maps": maps,
        "source": photo,
        "geometry": Geometry((83, 47), (2, 3)),
    }
    return Caption(**{"text": text or " ".join(words), "words": entries, **values, **fields})


class _Markup(HTMLParser):
    """The elements of a page, and the text inside of its scripts and its title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.inside = tag
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside][-1] += data


def _page(*words: str, **fields: Any) -> str:
    return exports.page(values.view(_caption(words, **fields)))


def test_a_page_holds_all_it_needs() -> None:
    text = _page("a", "dog")
    assert text.isascii() or text.encode()  # it can be written
    addresses = re.findall(r"(?:src|href|url|import)\s*[=(]\s*[\"']?\s*(?!data:)[\w/.:]+", text)
    assert not [address for address in addresses if "//" in address], addresses
    assert "default-src 'none'" in text
    view = json.loads(_Markup(text).texts["script"][0])
    assert [word["text"] for word in view["words"]] == ["a", "dog"]
    assert view["offline"] is True


@pytest.mark.parametrize("text", HOSTILE)
def test_data_never_becomes_markup(text: str) -> None:
    harmless = _Markup(_page("a", "dog", text="A dog."))
    hostile = _Markup(_page(text, "dog", text=text, file=text))
    assert hostile.tags == harmless.tags
    names = [[name for name, _ in found.attributes] for found in (hostile, harmless)]
    assert names[0] == names[1]
    view = json.loads(hostile.texts["script"][0])
    assert view["words"][0]["text"] == text
    assert view["caption"] == text
    assert hostile.texts["script"][1:] == harmless.texts["script"][1:]


@given(st.text())
def test_json_in_a_script_has_no_sign_of_markup(text: str) -> None:
    escaped = exports.script_json({"text": text, text: 1})
    assert not set(escaped) & set("<>&\u2028\u2029")
    assert json.loads(escaped) == {"text": text, text: 1} if text != "text" else True


def test_only_the_viewer_may_run() -> None:
    found = _Markup(_page("a", "dog"))
    policy = next(value for name, value in found.attributes if value and "script-src" in value)
    script = found.texts["script"][1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "</" not in script
    assert "innerHTML" not in script


def test_a_page_speaks_korean() -> None:
    assert '<html lang="">' in _page("a")  # the browser's own
    assert '<html lang="ko">' in exports.page(values.view(_caption(("a",))), language="ko")
    assert '<html lang="&quot;&gt;">' in exports.page({"words": []}, language='">')


def test_folders_of_the_server_stay_there() -> None:
    path = "/tmp/gradio/d41d8/my\tdog.jpg"
    shown = repr(path)[1:-1]
    other = _caption(("cat",), file=path)
    failed = _caption((), file=path, source=path, error=f"{shown}: it is empty", n_best=(other,))
    public = exports.public(failed)
    assert (public.file, public.error) == ("my\tdog.jpg", "my\\tdog.jpg: it is empty")
    assert public.n_best[0].file == "my\tdog.jpg"
    assert exports.public(dataclasses.replace(public, error=shown)).error == "my\\tdog.jpg"
    assert exports.public(_caption(("a",))).file is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("holiday/dog.jpg", "dog.html"),
        (r"C:\photos\dog.jpg", "dog.html"),
        ("../../etc/passwd", "passwd.html"),
        ("강아지 사진.png", "강아지-사진.html"),
        ('<b>"x".jpg', "b-x.html"),
        ("..", "caption.html"),
        ("", "caption.html"),
        ("a" * 300 + ".jpg", "a" * 80 + ".html"),
        ("%22my%22 dog%0D%0A.jpg", "my-dog.html"),  # as a browser sends "my" dog and a line feed
        ("100%.jpg", "100.html"),
        ("🐕 dog 🐕.jpg", "dog.html"),
        ("🐕.jpg", "caption.html"),
        ("Con.jpg", "Con_.html"),
        ("lpt1.tar.jpg", "lpt1-tar.html"),
    ],
)
def test_a_download_has_a_safe_name(file: str, name: str) -> None:
    assert exports.file_name(_caption(("a",), file=file), ".html") == name


def test_a_table_computes_nothing() -> None:
    hostile = (
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        '"quoted", and so on',
    )
    captions = [_caption(("a", "dog"), text=text, file=text) for text in hostile]
    captions.append(_caption((), file="bad.jpg", text="", error="=not a photo"))
    text = exports.csv_table(captions, [*hostile, ""])
    assert text.startswith("\ufefffile,caption,alt_text,log_prob,")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    given = [text.replace("'", "") for text in hostile]
    assert [row["caption"].replace("'", "") for row in rows[:-1]] == given
    for row in rows:
        assert not row["file"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert not row["caption"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert not row["alt_text"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert (rows[0]["log_prob"], rows[0]["mean_probability"]) == ("-2.5", "0.25")
    assert 1 / 6 <= float(rows[0]["mean_spread"]) <= 1
    assert rows[-1]["error"] == "'=not a photo"
    assert rows[-1]["log_prob"] == rows[-1]["mean_probability"] == ""
    assert {row["confidence"] for row in rows} == {""}


def test_a_table_holds_how_sure_a_caption_is() -> None:
    captions = [_caption(("a",), confidence=0.12345), _caption((), error="gone", confidence=None)]
    text = exports.csv_table(captions).removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["confidence"] for row in rows] == ["0.1235", ""]


@pytest.mark.parametrize("sign", "=+-@")
@pytest.mark.parametrize("before", ["", " ", "a;", "a; ", "a\t", "a\n", "a\r\n", ";", "\t", ";;"])
def test_no_part_of_a_cell_is_computed(before: str, sign: str) -> None:
    caption = _caption(("a",), file=f"{before}{sign}1")
    text = dataclasses.replace(caption, text=f"{before}{sign}cmd,1{before}{sign}2")
    table = exports.csv_table([text])
    row = table.removeprefix("\ufeff").split("\r\n", 1)[1]
    for delimiter in ",;\t":
        for line in csv.reader(io.StringIO(row, newline=""), delimiter=delimiter):
            for cell in line:
                for part in re.split(r"[;\t\r\n]", cell):
                    is_number = part == "-2.5"  # which is the caption's own
                    assert is_number or not part.strip().startswith(sign), (delimiter, cell)
    assert "a; b" in exports.csv_table([dataclasses.replace(caption, text="a; b")])


def test_a_sheet_is_a_picture() -> None:
    caption = _caption(("a", "dog"))
    drawn = Image.open(io.BytesIO(exports.sheet(caption)))
    assert drawn.format == "PNG"
    assert drawn.tobytes() == caption.sheet().tobytes()


def test_an_archive_holds_sheets_and_tables(tmp_path: Path) -> None:
    gone = tmp_path / "private" / "gone.png"
    captions = [
        _caption(("a", "dog"), file="../dog.png"),
        _caption(("a", "cat"), file="DOG.jpg"),
        _caption((), file="bad.jpg", error="bad.jpg: it is empty"),
        _caption(("one",), file="gone.png", source=str(gone)),
        _caption(("one",), file="\udcff.png"),
    ]
    target = tmp_path / "all.zip"
    assert list(exports.archive(captions, target)) == [1, 2, 3, 4, 5]
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        names = file.namelist()
        lines = [json.loads(line) for line in file.read("captions.jsonl").splitlines()]
        table = file.read("captions.csv").decode("utf-8-sig")
        sheet = Image.open(file.open("sheets/dog.png"))
        sheet.load()
    assert [name for name in names if name.startswith("sheets/")] == [
        "sheets/dog.png",
        "sheets/DOG-2.png",
        "sheets/caption.png",
    ]
    assert all(".." not in name and not name.startswith("/") for name in names)
    assert [line["caption"] for line in lines[:2]] == ["a dog", "a cat"]
    assert lines[2]["error"] == "bad.jpg: it is empty"
    assert lines[3]["error"].startswith("gone.png: there is no such file")
    assert str(tmp_path) not in table + json.dumps(lines)
    assert not list(tmp_path.glob("captioner-*"))


def test_downloads_vanish(tmp_path: Path) -> None:
    downloads = exports.Downloads(age=3600)
    first = Path(downloads.put("../dog.html", "<p>\udcff"))
    assert first.name == "dog.html"
    assert first.read_bytes() == b"<p>\\udcff"
    second = Path(downloads.put("dog.html", b"\x00"))
    assert first != second
    os.utime(first.parent, (0, 0))
    third = Path(downloads.put("dog.html", "x"))
    assert not first.exists()
    assert second.exists()
    assert third.exists()


# Many photos


def test_many_photos_come_one_batch_after_the_other(
    tiny_captioner: Captioner, picture: Image.Image, tmp_path: Path
) -> None:
    files = [tmp_path / f"photo {number}.png" for number in range(5)]
    for file in files:
        picture.save(file)
    files[2].write_text("not a photo")
    options = tiny_captioner.options(beam_size=1)
    states = list(
        caption_many(tiny_captioner, list(map(str, files)), batch_size=2, options=options)
    )
    assert [state.done for state in states] == [0, 2, 4, 5]
    assert [state.done == state.total for state in states] == [False, False, False, True]
    last: Progress = states[-1]
    assert (last.total, last.failed) == (5, 1)
    assert [row.file for row in last.rows] == [file.name for file in files]
    assert str(tmp_path) not in repr(last.rows)
    assert last.rows[2].error.startswith("photo 2.png: ")
    alone = tiny_captioner(files[0], beam_size=1)
    for place in (0, 1, 3, 4):
        row = last.rows[place]
        assert (row.caption, row.error) == (alone.text, "")
        assert row.thumbnail.startswith("data:image/jpeg;base64,")
        assert row.prob is not None
        assert row.spread is not None
        assert last.captions[place].sheet().size
    assert states[1].rows == last.rows[:2]  # older states do not change


def test_captions_that_are_there_already_have_rows() -> None:
    gone = _caption(("a", "dog"), file="gone.jpg", source="gone.jpg")
    failed = _caption((), file="bad.jpg", text="", error="bad.jpg: it is empty")
    first, second, third = rows([_caption(("a", "dog"), file="dog.jpg"), gone, failed])
    assert (first.file, first.caption, first.prob) == ("dog.jpg", "a dog", 0.25)
    assert (second.thumbnail, second.caption) == ("", "a dog")
    assert (third.error, third.prob, third.spread) == ("bad.jpg: it is empty", None, None)


@pytest.mark.parametrize("count", [0, 201])
def test_how_many_photos_is_limited(tiny_captioner: Captioner, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} photos were given; expected 1 to 200 at once"):
        next(caption_many(tiny_captioner, ["x"] * count))


# In a real browser, where there is one


@dataclasses.dataclass
class _Visit:
    page: Any
    said: list[str]
    asked: list[str]


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page from a file, as a double click does, and keeps what it says and asks for."""
    contexts = []

    def opened(text: str, **settings: Any) -> _Visit:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        contexts.append(browser.new_context(offline=True, **settings))
        found = _Visit(contexts[-1].new_page(), [], [])
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("dialog", lambda dialog: found.said.append(dialog.message))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(path.as_uri())
        found.page.locator("canvas.photo[width='83']").wait_for()
        return found

    yield opened
    for context in contexts:
        context.close()


def _pixels(page: Any) -> str:
    return str(page.evaluate("document.querySelector('canvas.photo').toDataURL()"))


def test_words_answer_without_a_server(visit: Any) -> None:
    found = visit(_page("a", "dog", "runs"))
    plain = _pixels(found.page)
    words = found.page.locator(".viewer .word")
    maps = []
    for place in range(3):
        words.nth(place).hover()
        maps.append(_pixels(found.page))
    assert len({plain, *maps}) == 4
    found.page.mouse.move(1, 1)
    assert _pixels(found.page) == plain
    words.nth(1).click()  # keeps it
    found.page.mouse.move(1, 1)
    assert _pixels(found.page) == maps[1]
    assert words.nth(1).get_attribute("aria-pressed") == "true"
    found.page.keyboard.press("ArrowRight")
    assert _pixels(found.page) == maps[2]
    found.page.keyboard.press("Escape")
    assert _pixels(found.page) == plain
    assert found.said == []
    assert len(found.asked) == 1  # the file itself


def test_a_finger_and_the_reverse_look_up(visit: Any) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "locale": "ko-KR"}
    found = visit(_page("a", "dog", "runs"), color_scheme="dark", **phone)
    plain = _pixels(found.page)
    found.page.locator(".viewer .word").nth(1).tap()
    assert _pixels(found.page) != plain
    found.page.locator("canvas.photo").hover(position={"x": 20, "y": 20})
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert found.page.evaluate("document.documentElement.classList.contains('dark')")
    found.page.emulate_media(color_scheme="light")
    found.page.locator("html:not(.dark)").wait_for()
    assert found.page.locator(".viewer .opacity span").inner_text() == "불투명도"
    assert found.said == []


DOUBT = {
    "en-GB": "unsure: the chance that this names what the photo shows is 9 %",
    "ko-KR": "확실하지 않음: 사진에 있는 것을 맞게 말했을 가능성이 9 %입니다",
}


@pytest.mark.parametrize("locale", DOUBT)
def test_an_unsure_caption_says_so(locale: str, visit: Any) -> None:
    found = visit(_page("a", "dog", confidence=0.0912, unsure=True), locale=locale)
    line = found.page.locator(".viewer .doubt")
    assert line.inner_text() == DOUBT[locale]
    assert DOUBT[locale] in found.page.locator(".viewer .live").inner_text()
    assert found.said == []


@pytest.mark.parametrize("fields", [{}, {"confidence": 0.9, "unsure": False}])
def test_any_other_caption_says_nothing_of_doubt(fields: dict[str, Any], visit: Any) -> None:
    found = visit(_page("a", "dog", **fields))
    assert found.page.locator(".viewer p.doubtful").inner_text() == "2 of 2 words are under 50 %."
    assert not found.page.locator(".viewer .doubt").is_visible()
    assert found.page.locator(".viewer .live").inner_text() == "a dog"


def test_doubt_stays_beside_the_other_sentences(visit: Any) -> None:
    said = _caption(("a", "dog"), confidence=0.0912, unsure=True)
    others = [("2", _caption(("a", "cat")))]
    found = visit(exports.page(values.view(said, others=others, title="1")), locale="en-GB")
    found.page.locator(".viewer .card").nth(1).click()
    assert found.page.locator(".viewer .main .word .text").all_inner_texts() == ["A", "cat"]
    assert found.page.locator(".viewer .doubt").inner_text() == DOUBT["en-GB"]


def test_a_row_of_the_table_is_marked_where_its_caption_is_unsure(browser: Any) -> None:
    row = {"file": "a.png", "caption": "A dog.", "error": "", "thumbnail": "", "prob": 0.5}
    more = {"alt": "A dog.", "doubtful": 0, "words": 2, "doubt": 0.1, "other": ""}
    rows = [{**row, **more, "spread": 0.25, "unsure": unsure} for unsure in (True, False)]
    value = exports.script_json({"done": 2, "total": 2, "failed": 0, "rows": rows})
    page = browser.new_page(locale="en-GB")
    page.set_content(f"""<html lang="en"><div id="root">{assets.markup("table")}</div><script>
        (function (element, props, trigger, watch) {{ {assets.script("table")} }})(
          document.getElementById("root"), {{ value: {value} }}, () => {{}}, () => {{}});
        </script></html>""")
    told = [text.split() for text in page.locator(".doubt").all_inner_texts()]
    assert told == [["unsure", "50", "%"], ["50", "%"]]
    page.close()


def test_nothing_hostile_runs_in_a_browser(visit: Any) -> None:
    text = " ".join(HOSTILE)
    made = _caption(HOSTILE, text=text, file=text)
    lines = exports.json_lines([made]).encode()  # as somebody else's file
    (caption,) = imports.read(lines, {text: made.photo()}).captions
    page = exports.page(values.view(caption))
    trap = "<script>window.boom = () => { window.bitten = true; alert('bitten'); };</script>"
    unguarded = page.replace("<meta http-equiv", f"{trap}<meta name", 1)  # without its policy
    for shown, armed in ((page, False), (unguarded, True)):
        found = visit(shown)
        assert found.page.evaluate("'boom' in window") == armed
        words = found.page.locator(".viewer .word")
        assert words.count() == len(HOSTILE)
        for place in range(len(HOSTILE)):
            words.nth(place).click()
        assert not found.page.evaluate("Boolean(window.bitten)")
        assert found.said == []
        assert len(found.asked) == 1
        assert found.page.locator(".viewer img, .viewer script, .viewer svg").count() == 0


def test_corrected_texts_go_beside_their_photos(tmp_path: Path) -> None:
    captions = [
        _caption(("a", "dog"), file="my dog (1).jpg"),
        _caption((), file="bad.jpg", text="", error="bad.jpg: it is empty"),
        _caption(("a", "cat"), file="my dog (1).png"),
        _caption(("one",), file="../..\x07.png"),
    ]
    alts = batches.alt_texts(captions, {"0": " A brown\n dog. "})
    assert alts == ["A brown dog.", "", "a cat", "one"]
    found = exports.sidecars(captions, alts)
    assert found["my dog (1).txt"] == "A brown dog.\n"
    assert found["my dog (1)-2.txt"] == "a cat\n"
    assert len(found) == 3
    assert all("/" not in name and not name.startswith(".") for name in found)
    first, *_ = exports.json_lines(captions, alts).splitlines()
    assert json.loads(first)["alt_text"] == "A brown dog."
    for edits in (["x"], {"9": "x"}, {"0": 3}, {"0": "x" * 1001}, {"-1": "x"}):
        with pytest.raises(ConfigError, match="corrected text"):
            batches.alt_texts(captions, edits)


def test_every_file_system_takes_the_names_in_an_archive() -> None:
    names = (
        "x" * 300,
        "가" * 300,
        "é" * 150,
        'a"b?<c>|*:',
        "con",
        "NUL.b",
        "ä",
        "a\u0308",
        "Ä",
        "\u202e",
    )
    captions = [_caption(("a",), file=f"{name}.jpg") for name in names]
    found = exports.sidecars(captions, ["a"] * len(names))
    assert len(found) == len(names)
    alike = {unicodedata.normalize("NFC", name).casefold() for name in found}
    assert len(alike) == len(names)
    for name in found:
        assert len(name.encode()) <= 255
        assert not {*name} & {*'<>:"/\\|?*'}
        assert name.partition(".")[0].lower() not in ("con", "nul")
        assert name.isprintable()
    assert [*found][:2] == ["x" * 200 + ".txt", "가" * 66 + ".txt"]
    assert {"a_b__c____.txt", "con_.txt", "NUL_.b.txt"} <= found.keys()


def test_two_models_captions_are_matched_by_their_photo() -> None:
    captions = [_caption(("a",), file=name) for name in ("1.jpg", "2.jpg", "1.jpg")]
    others = [_caption(("b",), file=name) for name in ("1.jpg", "3.jpg")]
    found, alone = batches.beside(captions, others)
    assert found == (others[0], None, None)
    assert alone == 1
