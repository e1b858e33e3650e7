from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from captioner import scenes
from captioner.captions.caption import Caption
from captioner.datasets import Photo, read_coco
from captioner.errors import DataError
from captioner.grounding import inventions, report
from captioner.grounding.report import FIGURES, Maps, examine, examine_file, naming
from captioner.prediction import Captioner


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    scenes.write(folder, train=0, val=4, size=(64, 64))
    return folder


@pytest.fixture(scope="module")
def photos(world: Path) -> list[Photo]:
    found = read_coco(world / "captions_val.json", world / "images")
    return [dataclasses.replace(p, captions=("A dog and a man", *p.captions)) for p in found]


@pytest.fixture(scope="module")
def found(tiny_captioner: Captioner, world: Path, photos: list[Photo]) -> Maps:
    done: list[int] = []
    made = examine(
        tiny_captioner,
        photos,
        world / "instances_val.json",
        sampled=2,
        bootstrap=10,
        progress=done.append,
    )
    assert sum(done) <= report.work(len(photos), True, 2)
    return made


def test_everything_is_asked(found: Maps) -> None:
    assert found.pointing is not None
    assert found.pointing.whole.photos == 4
    assert found.losses is not None
    assert found.inventions is None  # a tiny model says too little of things
    assert len(found.notes) == 1
    assert found.notes[0].startswith("made-up things: ")
    text = str(found)
    assert "Do maps lie on what their words name?" in text
    assert "Do words hang on what their maps show?" in text
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["inventions"] is None
    assert plain["pointing"]["whole"]["photos"] == 4


def test_figures_show_something(found: Maps) -> None:
    pictures = found.draw()
    assert tuple(pictures) == FIGURES
    for picture in pictures.values():
        pixels = np.asarray(picture)
        assert pixels.shape[0] > 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_without_boxes_only_cocos_kinds(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    made = examine(tiny_captioner, photos[:1], sampled=1, bootstrap=0)
    assert made.pointing is None
    assert made.losses is None
    assert "another photo's maps: not asked, there is one photo only" in made.notes
    assert tuple(made.draw()) == FIGURES[1:2]


def test_whose_words_are_meant() -> None:
    drawn = naming({"1": {"sun": [], "dog": []}})
    assert drawn(["the", "sun"]) == [(1, frozenset({"sun"}))]
    coco = naming({"1": {"dog": []}})
    assert coco(["a", "puppy"]) == [(1, frozenset({"dog"}))]


def test_maps_of_a_file(
    tiny_captioner: Captioner, world: Path, photos: list[Photo], tmp_path: Path
) -> None:
    """The same numbers as by the captioner itself, for the words that the file holds."""
    captions: list[Caption] = [
        tiny_captioner.explain(photo.path, text) for photo in photos for text in photo.captions
    ]
    path = tmp_path / "maps.jsonl"
    path.write_text("\n".join(json.dumps(c.to_dict(maps=True)) for c in captions) + "\nno JSON")
    read = examine_file(path, world / "instances_val.json", bootstrap=0)
    own = examine(tiny_captioner, photos, world / "instances_val.json", sampled=1, bootstrap=0)
    assert own.pointing is not None
    assert read.whole.words == own.pointing.whole.words
    for name in ("word", "centre", "photo's mean", "kind's place"):
        for measure in ("mass", "spread"):
            expected = own.pointing.whole.rows[name].measures[measure].value
            got = read.whole.rows[name].measures[measure].value
            assert got == pytest.approx(expected, abs=2e-3)
    assert "next word" not in read.whole.rows
    assert "line 25" in read.left_out[0]


def test_inventions_are_part_of_it(
    tiny_captioner: Captioner, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [
        inventions.Said(
            n, "dog", n % 3 == 0, {f: float(n % 7) for f in inventions.FEATURES["both"]}
        )
        for n in range(60)
    ]
    monkeypatch.setattr(inventions, "said", lambda *_: several)
    made = examine(tiny_captioner, photos, sampled=1, bootstrap=0)
    assert made.inventions is not None
    assert "20 of 60 words" in str(made)
    assert made.notes == ()


def test_nothing_to_ask(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    plain = [dataclasses.replace(photo, captions=("Nothing",)) for photo in photos]
    with pytest.raises(DataError, match="no caption of 4 photos names a thing"):
        examine(tiny_captioner, plain)
