from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.grounding.regions import Region
from captioner.grounding.sentences import (
    Asked,
    Mention,
    Shown,
    ask,
    ask_shown,
    explained,
    read_maps,
    sample,
)
from captioner.grounding.synonyms import namer
from captioner.prediction import Captioner

FIND = namer({"dog", "person", "cat"})
EVERYWHERE = Region((0.0, 0.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(7)
    captions = (("A dog jumps.", "The man runs over a log"), ("A ball",), ("The dog's man",))
    for number in range(len(captions)):
        pixels = rng.integers(0, 256, (53, 97, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return [Photo(str(n), folder / f"{n}.png", texts) for n, texts in enumerate(captions)]


def test_what_is_asked_about(photos: list[Photo]) -> None:
    everything = ask(photos, FIND)
    assert [entry.photo.photo_id for entry in everything] == ["0", "2"]
    assert everything[0].mentions == (
        Mention(0, 1, frozenset({"dog"})),
        Mention(1, 1, frozenset({"person"})),
    )
    only = ask(photos, FIND, {"2": {"person": [EVERYWHERE], "log": [EVERYWHERE]}})
    assert [(e.photo.photo_id, e.mentions) for e in only] == [
        ("2", (Mention(0, 3, frozenset({"person"})),))
    ]
    with pytest.raises(DataError, match=r"no caption of 3 photos names a thing that has a region"):
        ask(photos, FIND, {"0": {"cat": [EVERYWHERE]}})


def test_maps_are_those_that_explain_shows(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    """An oracle: the outer tier, one sentence at a time."""
    gone = Asked(
        Photo("9", photos[0].path.with_name("gone.png"), ("A dog",)), (("a", "dog"),), (), {}
    )
    done: list[int] = []
    *found, line = explained(tiny_captioner, [*ask(photos, FIND), gone], progress=done.append)
    assert isinstance(line, str) or isinstance(found[0], str)
    shown = [each for each in (*found, line) if not isinstance(each, str)]
    [message] = [each for each in (*found, line) if isinstance(each, str)]
    assert "gone.png" in message
    assert done == [3]
    for asked, own in shown:
        for text, words, each in zip(asked.photo.captions, asked.sentences, own, strict=True):
            expected = tiny_captioner.explain(asked.photo.path, text).maps
            assert each.words == words
            np.testing.assert_allclose(each.maps, expected, atol=1e-5)
            assert each.following is not None
            np.testing.assert_allclose(each.following[:-1], each.maps[1:])


def test_what_the_command_line_writes_is_read(
    tiny_captioner: Captioner, photos: list[Photo], tmp_path: Path
) -> None:
    captions = [tiny_captioner(photo.path) for photo in photos]
    path = tmp_path / "maps.jsonl"
    lines = [json.dumps(caption.to_dict(maps=True)) for caption in captions]
    failed = json.dumps({"file": "x.png", "error": "cannot be opened"})
    path.write_text("\n".join([*lines, "", failed, '{"file": "x.png", "words": ["a"]}', "[1"]))
    found, wrong = read_maps(path)
    assert [each.photo for each in found] == ["0", "1", "2"]
    for caption, each in zip(captions, found, strict=True):
        np.testing.assert_allclose(each.maps, caption.maps, atol=2e-4)
        assert each.words == tuple(word.text for word in caption.words)
    assert [line.split(": ", 1)[1] for line in wrong[:2]] == [
        "line 5: cannot be opened",
        "line 6: lacks 'grid'",
    ]
    assert "line 7" in wrong[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": [[1, 0]]}, "2 words on a grid of 1×2 came with maps of shape (1, 2)"),
        ({"maps": [[1, 0], [0, 0]]}, "a map is not of numbers from 0 up with a sum above 0"),
        ({"maps": [[1, 0], [-1, 2]]}, "a map is not of numbers from 0 up"),
        ({"grid": [0, 2]}, "grid is 0×2; expected rows and columns from 1 on"),
        ({"file": 3}, "file is no text"),
    ],
)
def test_a_line_that_is_wrong_says_why(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    good = {"file": "1.jpg", "words": ["a", {"word": "Dog"}], "grid": [1, 2], "maps": [[3, 1]] * 2}
    path = tmp_path / "maps.jsonl"
    path.write_text(json.dumps(good))
    [shown], _ = read_maps(path)
    assert shown.words == ("a", "dog")
    assert shown.maps.tolist() == [[[0.75, 0.25]]] * 2
    path.write_text(json.dumps(good | changes))
    with pytest.raises(DataError, match="no line holds a caption with maps") as error:
        read_maps(path)
    assert message in str(error.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: cannot be read"):
        read_maps(tmp_path / "gone.jsonl")


def test_questions_about_a_file_of_maps() -> None:
    maps = np.full((2, 1, 2), 0.5, np.float32)
    shown = [Shown("1", ("a", "dog"), maps), Shown("2", ("a", "cat"), maps),
             Shown("1", ("the", "puppy"), maps)]  # fmt: skip
    [(asked, own)] = ask_shown(shown, FIND, {"1": {"dog": [EVERYWHERE]}, "2": {}})
    assert asked.sentences == (("a", "dog"), ("the", "puppy"))
    assert [(m.sentence, m.place) for m in asked.mentions] == [(0, 1), (1, 1)]
    assert own == [shown[0], shown[2]]
    with pytest.raises(DataError, match=r"none of 2 photos in the file of maps has a sentence"):
        ask_shown(shown, FIND, {"7": {"dog": [EVERYWHERE]}})


def test_a_sample_keeps_what_it_asks_about(photos: list[Photo]) -> None:
    every = ask(photos, FIND)
    [one] = sample(every, 1, 1)
    assert len(one.mentions) == len(one.sentences) == 1
    [mention] = one.mentions
    word = one.sentences[mention.sentence][mention.place]
    assert FIND([word]) == [(0, mention.kinds)]
    assert sample(every, 9, 9) == every
