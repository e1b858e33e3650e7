from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.errors import DataError
from captioner.pictures.geometry import Geometry
from captioner.prediction import Captioner
from captioner.ui import exports, imports

MAP = [0.1, 0.2, 0.0, 0.3, 0.15, 0.25]  # 2×3


def _values(**changes: Any) -> dict[str, Any]:
    values = {"file": "dog.jpg", "words": ["a", "dog"], "grid": [2, 3], "maps": [MAP, MAP[::-1]]}
    return {**values, **changes}


def _read(*objects: Any, **photos: Any) -> imports.Imported:
    return imports.read("\n".join(map(json.dumps, objects)).encode(), photos)


def _error(**changes: Any) -> str:
    caption = _read(_values(**changes)).captions[0]
    assert caption.error is not None
    assert not len(caption.maps)
    return caption.error


def test_what_the_command_line_writes_comes_back(
    tiny_captioner: Captioner, picture: Image.Image, tmp_path: Path
) -> None:
    photo = tmp_path / "a photo.png"
    picture.save(photo)
    made = [tiny_captioner(photo, n_best=3), tiny_captioner.explain(photo, "the zebra runs")]
    (tmp_path / "all.jsonl").write_text(exports.json_lines(made), encoding="utf-8")
    photos = {"/somewhere/A_photo.png": b"other", photo.name: photo}
    found = imports.read(tmp_path / "all.jsonl", photos)
    assert (found.without_photo, found.rescaled) == (0, 0)
    for before, after in zip(made, found.captions, strict=True):
        assert after.error is None
        assert (after.text, after.file) == (before.text, "a photo.png")
        assert [w.text for w in after.words] == [w.text for w in before.words]
        assert [w.known for w in after.words] == [w.known for w in before.words]
        np.testing.assert_allclose(after.maps, before.maps, atol=2e-4)
        assert after.geometry == before.geometry
        assert after.photo().tobytes() == picture.tobytes()
        assert after.log_prob == pytest.approx(before.log_prob, rel=1e-3)
        assert after.sheet().size == before.sheet().size
    assert [other.text for other in found.captions[0].n_best] == [
        other.text for other in made[0].n_best
    ]


def test_other_models_need_little() -> None:
    found = _read(_values(maps=[[[1, 2, 0], [0, 3, 4]], [2.0] * 6], file=None))
    caption = found.captions[0]
    assert caption.text == "A dog."
    np.testing.assert_allclose(caption.maps[0], np.array([[1, 2, 0], [0, 3, 4]]) / 10, rtol=1e-6)
    np.testing.assert_allclose(caption.maps.sum((1, 2)), 1, rtol=1e-6)
    assert (found.rescaled, found.without_photo) == (2, 1)
    assert caption.photo().size == (192, 128)  # even grey, in the shape of the grid
    assert all(word.prob is None and word.known for word in caption.words)


def test_a_photo_is_found_by_its_name_or_comes_along(picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    found = _read(
        _values(file=r"C:\photos\My Dog (1).JPG"),
        _values(photo=url),
        _values(file="cat.jpg"),
        **{"/upload/my dog 1.jpg": picture},  # uploads lose the brackets
    )
    assert [caption.photo().size for caption in found.captions] == [
        (97, 53),
        (97, 53),
        (192, 128),
    ]
    assert found.captions[0].file == "My Dog (1).JPG"
    assert found.without_photo == 1


def test_a_bad_line_says_which_and_stops_no_other() -> None:
    lines = [json.dumps(_values()), "{", "", '{"file": "x/gone.jpg", "error": "no such file"}']
    found = imports.read("\r\n".join(["\ufeff" + lines[0], *lines[1:]]).encode())
    first, second, third = found.captions
    assert first.error is None
    assert second.error is not None
    assert second.error.startswith("line 2: is no JSON (")
    assert (third.file, third.error) == ("gone.jpg", "no such file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": None}, "grid is missing; expected [rows, columns], each from 1 to 64"),
        ({"grid": [2, 65]}, "grid is a list of 2; expected"),
        ({"grid": [2, True]}, "grid is a list"),
        ({"grid": "7x7"}, "grid is '7x7'; expected [rows, columns]"),
        ({"words": None}, "words is missing; expected a list of at most 200"),
        ({"words": []}, "words is empty"),
        ({"words": ["a"] * 201}, "words is 201 entries; expected a list of at most 200"),
        ({"words": ["a", " "]}, "word 2 has no text; expected it in `word`"),
        ({"words": ["a", 5]}, "word 2 is 5; expected a text or an object"),
        ({"words": ["a", "b" * 201]}, "word is 'bbbb"),
        ({"words": ["a", {"word": "b", "prob": 1.5}]}, "word 2: prob is 1.5; expected a probab"),
        ({"words": ["a", {"word": "b", "prob": "high"}]}, "word 2: prob is 'high'; expected a num"),
        (
            {"words": ["a", {"word": "b", "alternatives": [["c"]]}]},
            "word 2: an alternative is a list of 1; expected [word, probability]",
        ),
        ({"maps": None}, "maps is missing"),
        ({"maps": [MAP]}, "2 words came with 1 maps; expected one map a word"),
        ({"maps": [MAP, MAP[1:]]}, "map 2 holds 5 numbers, but a grid of 2×3 has 6 cells"),
        ({"maps": [MAP, [[1, 2], [3, 4]]]}, "map 2 has rows of other lengths than 3"),
        ({"maps": [MAP, [-1, *MAP[1:]]]}, "map 2 holds something else than numbers from 0 up"),
        ({"maps": [MAP, [True, *MAP[1:]]]}, "map 2 holds something else"),
        ({"maps": [MAP, [10**400, *MAP[1:]]]}, "map 2 holds something else"),
        ({"maps": [[0] * 6, MAP]}, "map 1 sums to 0; expected 1, or any finite sum above 0"),
        ({"maps": [[1.7e308] * 6, MAP]}, "map 1 sums to inf"),
        ({"log_prob": "low"}, "log_prob is 'low'; expected a number, or null"),
        ({"caption": ["A dog."]}, "caption is a list of 1; expected a text"),
        ({"file": 7}, "file is 7; expected a text of at most"),
        ({"photo": "https://example.org/dog.jpg"}, "photo is no data URL; expected data:image/"),
        ({"photo": "data:image/png;base64,%%%"}, "photo holds no base64"),
        ({"photo": "data:image/png;base64,AAAA"}, "the given bytes: "),
        ({"n_best": [5]}, "n_best holds 5; expected objects with words and maps"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], message: str) -> None:
    assert _error(**changes).startswith(f"line 1: {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1, 2]", "line 1: is a list of 2; expected an object with words, grid and maps"),
        ('{"log_prob": NaN}', "line 1: is no JSON (NaN is no JSON number)"),
        ('{"maps": [[Infinity]]}', "line 1: is no JSON (Infinity is no JSON number)"),
        ("[" * 100_000, "line 1: is nested too deeply"),
        ("9" * 5000, "line 1: holds a number of more digits than can be read; expected numbers"),
    ],
)
def test_a_hostile_line_is_an_error_of_its_own(line: str, message: str) -> None:
    (caption,) = imports.read(line.encode()).captions
    assert caption.error is not None
    assert caption.error.startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file holds no line; expected JSONL"),
        (b"\n \n", "the file holds no line"),
        (b"{}\n\xff\xfe\n", "line 2 is no text in UTF-8; expected a JSONL file"),
        (b"{}\n" * 1001, "the file holds 1001 lines, but at most 1000 can be shown; split it"),
    ],
)
def test_a_wrong_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        imports.read(data)
    assert str(caught.value).startswith(message)


def test_size_is_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(imports, "LARGEST_FILE", 2**20)
    with pytest.raises(DataError, match="the file is larger than 1 MB; split it"):
        imports.read(b" " * (2**20 + 1))
    with pytest.raises(DataError) as caught:
        imports.read(tmp_path / "none.jsonl")
    assert str(caught.value).startswith("none.jsonl cannot be read (No such file")


def _png(width: int, height: int, colour: int) -> str:
    buffer = io.BytesIO()
    Image.new("L", (width, height), colour).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pixels of every photo that an import decodes."""
    seen: list[int] = []
    real = imports.open_photo

    def counted(photo: Any, **more: Any) -> Image.Image:
        found = real(photo, **more)
        seen.append(found.width * found.height)
        return found

    monkeypatch.setattr(imports, "open_photo", counted)
    return seen


def _stream(lines: list[dict[str, Any]], **more: Any) -> Any:
    text = "\n".join(map(json.dumps, lines))
    return imports.stream(text.encode(), more.pop("photos", None), **more)


def test_a_photo_is_decoded_once_and_kept_small(decoded: list[int], tmp_path: Path) -> None:
    Image.new("RGB", (3000, 100), "red").save(tmp_path / "dog.jpg.png")
    uploaded = {"dog.jpg": tmp_path / "dog.jpg.png"}
    embedded = _png(1500, 2000, 7)
    lines = [_values(), _values(photo=embedded), _values(photo=_png(31, 17, 7))] * 40
    *_, found = _stream(lines, photos=uploaded)
    assert sorted(decoded) == [31 * 17, 3000 * 100, 1500 * 2000]
    assert len(found.captions) == found.total == 120
    sizes = [caption.photo().size for caption in found.captions[:3]]
    assert sizes == [(1024, 34), (768, 1024), (31, 17)]
    for caption, size in zip(found.captions, sizes, strict=False):
        assert caption.geometry == Geometry(size, (2, 3))
        assert caption.sheet().width > 0
    assert found.captions[0].source is found.captions[3].source


def test_one_import_opens_so_many_pixels(
    decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MOST_PIXELS", 5_000_000)
    lines = [_values(photo=_png(1500, 2000, shade)) for shade in range(9)]
    *_, found = _stream([*lines, _values(photo=_png(9, 9, 1)), _values(), lines[0]])
    assert len(decoded) == 2
    errors = [caption.error for caption in found.captions]
    assert errors[:2] == [None, None]
    assert errors[2] == (
        "line 3: the photos before this one have 6 megapixels, at most 5 are opened at once; "
        "split the file"
    )
    assert all(error is not None for error in errors[2:10])
    assert errors[10:] == [None, None]  # no photo, and one that was opened before


def test_one_import_takes_so_much_time(decoded: list[int]) -> None:
    clock = iter(float(second) for second in range(0, 2000, 20))
    lines = [_values(photo=_png(9, 9, shade)) for shade in range(9)]
    *_, found = _stream(lines, clock=lambda: next(clock))
    assert len(decoded) == 3
    errors = [caption.error for caption in found.captions]
    assert errors[:3] == [None] * 3
    assert errors[3] == "line 4: this import took 60 s already; split the file"
    assert len(errors) == 9


def test_who_leaves_stops_the_import(decoded: list[int]) -> None:
    lines = [_values(photo=_png(6000, 6000, shade)) for shade in range(4)]
    reading = _stream(lines)
    first = next(reading)
    reading.close()
    assert (len(first.captions), first.total) == (1, 4)
    assert decoded == [6000 * 6000]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted({*_values(), "n_best", "photo", "error"})), _JSON))
def test_no_object_raises(changes: dict[str, Any]) -> None:
    found = imports.read(json.dumps(_values(**changes)).encode())
    (caption,) = found.captions
    assert caption.error is not None or len(caption.maps) == len(caption.words)
    exports.json_lines(found.captions)
    exports.csv_table(found.captions)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        imports.read(data)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_the_documents_examples_are_read() -> None:
    document = Path(__file__).parent.parent / "docs" / "maps-format.md"
    examples = document.read_text(encoding="utf-8").split("```json\n")[1:]
    lines = [json.dumps(json.loads(example.partition("```")[0])) for example in examples]
    found = imports.read("\n".join(lines).encode())
    assert [caption.error for caption in found.captions] == [None, None]
    assert [caption.text for caption in found.captions] == ["A dog.", "A dog."]
    assert found.captions[1].words[1].known is False
    np.testing.assert_allclose(found.captions[0].maps, found.captions[1].maps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": ["a", "\ud800"]}, "line 1: word: character 1 is no text (\\ud800: "),
        ({"caption": "a \udfff dog"}, "line 1: caption: character 3 is no text (\\udfff: "),
        (
            {"words": ["a", {"word": "dog", "alternatives": [["\udc00", 0.5]]}]},
            "line 1: word 2: an alternative: character 1 is no text (\\udc00: ",
        ),
        (
            {"n_best": [{"words": ["\ud800", "b"], "maps": [MAP, MAP]}]},
            "line 1: word: character 1 is no text",
        ),
    ],
)
def test_half_of_a_character_is_refused(changes: dict[str, Any], message: str) -> None:
    error = _error(**changes)
    assert error.startswith(message)
    error.encode()


def test_a_files_name_may_hold_anything() -> None:
    failed = {"file": "\udcff.png", "error": "\udcff.png: it is empty"}
    broken = _values(file="\ud800.jpg", words=[])
    found = _read(_values(file="\udcff/\ud800dog.jpg"), failed, broken).captions
    assert [caption.file for caption in found] == ["?dog.jpg", "?.png", "?.jpg"]
    assert found[0].error is None
    assert found[1].error == "?.png: it is empty"


def test_a_number_without_end_tells_nothing_of_python() -> None:
    (caption,) = imports.read(b'{"grid": ' + b"9" * 5000 + b"}").captions
    assert caption.error == (
        "line 1: holds a number of more digits than can be read; expected numbers such as 0.25"
    )
