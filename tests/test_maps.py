from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner import maps, scenes
from captioner.boxes import Box, read
from captioner.checkpoint import Checkpoint
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.maps import MAPS, Grounding, Share, measure
from captioner.prediction import Captioner
from captioner.text import tokenise

KINDS = {"dog": ("dog",), "man": ("man",), "person": ("man", "dog"), "log": ("log",)}


def kinds_of(word: str) -> tuple[str, ...]:
    return KINDS.get(word, ())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(7)
    captions = (
        ("A dog jumps over the log.", "The man"),
        ("The red ball",),
        ("A man.", "The dog runs, the man's dog runs.", "Dog"),
    )
    found = []
    for number, texts in enumerate(captions):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (53, 97, 3)).astype(np.uint8)).save(path)
        found.append(Photo(str(number), path, texts))
    return found


@pytest.fixture(scope="module")
def looking(tiny_checkpoint: Checkpoint) -> Captioner:
    """The shared captioner with a CNN that tells the cells apart, as random ones hardly do."""
    model = copy.deepcopy(tiny_checkpoint.model)
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.uniform_(0.0, 0.5)
            module.weight.data.uniform_(0.5, 2.0)
    return Captioner(dataclasses.replace(tiny_checkpoint, model=model))


THINGS = {
    "0": {"dog": [(0.0, 0.0, 0.5, 0.5)], "log": [(0.5, 0.5, 0.5, 0.5)]},
    "1": {"dog": [(0.1, 0.1, 0.2, 0.2)]},
    "2": {"dog": [(0.0, 0.0, 0.3, 0.3), (0.6, 0.0, 0.3, 0.3)], "man": [(0.0, 0.0, 1.0, 1.0)]},
}


def replaced(captioner: Captioner, weights: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every step look as `weights` (T, N) say, whatever the photo and the sentence."""
    decoder = captioner.model.decoder

    def forward(tokens: torch.Tensor, *_: Any) -> Any:
        assert weights.shape[0] >= tokens.shape[1]
        shown = weights[: tokens.shape[1]].expand(len(tokens), -1, -1).unsqueeze(2)
        return dataclasses.make_dataclass("Unrolled", ["weights"])(shown)

    monkeypatch.setattr(decoder, "forward", forward)


# ---- the numbers ---------------------------------------------------------------------------------


def test_what_is_counted(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    """Every occurrence of a word that names something with a box; the second photo has none."""
    found = measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=50)
    assert found.whole.photos == 2
    # photo 0: dog, log (no box of a man); photo 2: man, dog, man, dog, dog
    assert found.whole.mentions == 7
    # boxes of a quarter and of the whole photo are no small ones; the two dogs take 0.18
    assert (found.difficult.photos, found.difficult.mentions) == (1, 3)
    assert found.left_out == ()


def test_maps_of_our_own_making(
    tiny_captioner: Captioner, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 2 looks at the upper left cell, step 3 at the lower right one, by four fifths."""
    weights = torch.full((9, 4), 0.25)
    weights[1] = torch.tensor([0.8, 0.1, 0.05, 0.05])
    weights[2] = torch.tensor([0.05, 0.05, 0.1, 0.8])
    replaced(tiny_captioner, weights, monkeypatch)
    photo = dataclasses.replace(photos[0], captions=("A dog",))
    found = measure(tiny_captioner, [photo], THINGS, kinds_of, bootstrap=0).whole
    assert found.pointing["word"] == Share(1.0)
    assert found.pointing["next word"] == Share(0.0)
    assert found.pointing["uniform"] == found.pointing["centre"] == Share(0.25)
    assert found.mass["word"].value == pytest.approx(0.8)
    assert found.mass["next word"].value == pytest.approx(0.05)
    assert found.mass["uniform"].value == pytest.approx(0.25)
    entropy = -sum(p * math.log(p) for p in (0.8, 0.1, 0.05, 0.05))
    assert found.spread["word"].value == pytest.approx(math.exp(entropy) / 4)
    assert found.spread["uniform"].value == pytest.approx(1.0)
    assert found.reachable == Share(1.0)


def test_maps_are_those_that_explain_shows(looking: Captioner, photos: list[Photo]) -> None:
    """An oracle: the same measures from the maps of the outer tier, word by word."""
    pointing, mass = [], []
    for photo, text in [(p, text) for p in photos for text in p.captions]:
        for place, word in enumerate(tokenise(text)):
            own = [b for kind in kinds_of(word) for b in THINGS[photo.photo_id].get(kind, [])]
            if own:
                shown = looking.explain(photo.path, text).maps[place]
                assert np.ptp(shown) > 1e-3
                row, column = np.unravel_index(shown.argmax(), shown.shape)
                pointing.append(covered(own, (row + 0.5) / 2, (column + 0.5) / 2))
                points = (np.arange(18) + 0.5) / 18
                inside = np.array([[covered(own, y, x) for x in points] for y in points])
                mass.append((inside.reshape(2, 9, 2, 9).mean((1, 3)) * shown).sum())
    found = measure(looking, photos, THINGS, kinds_of, bootstrap=0).whole
    assert found.mentions == len(mass)
    assert found.pointing["word"].value == pytest.approx(np.mean(pointing))
    assert found.mass["word"].value == pytest.approx(np.mean(mass), abs=1e-6)


def covered(boxes: list[Box], y: float, x: float) -> bool:
    return any(a <= x < a + width and b <= y < b + height for a, b, width, height in boxes)


def test_equal_peaks_share_the_hit() -> None:
    centred = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    shown = torch.tensor(
        [[[1, 1, 0, 0, 0, 0], [2, 2, 2, 2, 2, 2], [0, 0, 3, 0, 0, 1], [0, 9, 0, 0, 0, 0]]]
    )
    values = maps._values(shown.float(), centred, centred)
    assert values[0, :4].tolist() == pytest.approx([1 / 2, 1 / 3, 1, 0])
    assert values[0, -1] == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 5))
def test_shares_are_shares(seed: int, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shown = torch.rand(11, 4, rows * columns, generator=generator) + 1e-6
    covered = torch.rand(11, rows * columns, generator=generator)
    values = maps._values(shown, covered, (covered > 0.5).float())
    assert values.shape == (11, 13)
    assert (values >= 0).all()
    assert (values <= 1 + 1e-5).all()
    assert (values[:, 8:12] >= 1 / (rows * columns) - 1e-5).all()
    assert (values[:, :4] <= values[:, -1:]).all()  # nothing points where no centre is


def test_the_centred_map_peaks_in_the_middle() -> None:
    gaussian, uniform = maps._baselines((5, 7))
    assert gaussian.reshape(5, 7).argmax() == 2 * 7 + 3
    assert torch.equal(gaussian, gaussian.flip(0))
    assert uniform.unique().numel() == 1
    for rows, columns in ((2, 4), (14, 14), (10, 6)):
        even = maps._baselines((rows, columns))[0].reshape(rows, columns)
        assert (even == even.max()).nonzero().tolist() == [
            [r, c] for r in (rows // 2 - 1, rows // 2) for c in (columns // 2 - 1, columns // 2)
        ]


def test_intervals_hold_the_value_and_shrink(
    tiny_captioner: Captioner, photos: list[Photo]
) -> None:
    found = measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=200)
    for part in (found.whole, found.difficult):
        for table in (part.pointing, part.mass, part.spread):
            for share in table.values():
                assert share.interval is not None
                low, high = share.interval
                assert low - 1e-9 <= share.value <= high + 1e-9
    assert found == measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=200)
    sums = np.array([[1.0, value] for value in (0, 1) * 8])
    (few,), (many,) = maps._shares(sums, 300), maps._shares(np.tile(sums, (25, 1)), 300)
    assert few.value == many.value == 0.5
    assert few.interval is not None
    assert many.interval is not None
    assert many.interval[1] - many.interval[0] < (few.interval[1] - few.interval[0]) / 3


def test_batches_do_not_matter(
    tiny_captioner: Captioner, photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=0)
    monkeypatch.setattr(maps, "_BATCH", 1)
    done: list[int] = []
    single = measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=0, progress=done.append)
    assert done == [1, 1]
    for name in MAPS:
        assert single.whole.mass[name].value == pytest.approx(
            whole.whole.mass[name].value, abs=1e-6
        )


# ---- what comes in and goes out ------------------------------------------------------------------


def test_unreadable_photos_are_left_out(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    gone = dataclasses.replace(photos[0], path=photos[0].path.with_name("gone.png"))
    found = measure(tiny_captioner, [gone, photos[2]], THINGS, kinds_of, bootstrap=0)
    assert found.whole.photos == 1
    assert len(found.left_out) == 1
    assert "gone.png" in found.left_out[0]
    with pytest.raises(DataError, match=r"none of 1 photos can be read; the first: .*gone\.png"):
        measure(tiny_captioner, [gone], THINGS, kinds_of)


def test_nothing_to_measure(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    with pytest.raises(DataError, match=r"no caption names a thing .*\(0 photos have boxes\)"):
        measure(tiny_captioner, photos, {}, kinds_of)
    with pytest.raises(DataError, match="do the captions and the boxes belong to the same photos"):
        measure(tiny_captioner, photos, THINGS, lambda word: ())


def test_the_table(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    found = measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=20)
    lines = str(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[:6]] == ["map", "-" * 9, *MAPS]
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[-1].startswith("all 7 words in 2 photos (pointing at most 100.0")
    assert "teacher-forced on 5 reference captions | grid 2×2" in lines[-1]
    assert "bootstrap 20 over photos, seed 0" in lines[-1]


def test_boxes_of_one_kind(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    """Nothing is known of other kinds, so the difficult boxes are the small ones."""
    alone = {"0": {"dog": [(0.0, 0.0, 0.1, 0.1)]}, "2": {"dog": [(0.0, 0.0, 0.9, 0.9)]}}
    found = measure(tiny_captioner, photos, alone, kinds_of, bootstrap=9)
    assert (found.whole.mentions, found.difficult.mentions) == (4, 1)
    assert found.difficult.reachable.value == 0.0  # no cell's centre lies in so small a box
    assert "another kind" not in found.recipe
    assert "boxes under 25% of the photo, another kind present" in str(
        measure(tiny_captioner, photos, THINGS, kinds_of, bootstrap=0)
    )


def test_an_empty_part_is_shown_as_such(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    large = {"2": THINGS["2"] | {"dog": [(0.0, 0.0, 0.9, 0.9)]}}
    found = measure(tiny_captioner, photos, large, kinds_of, bootstrap=9)
    assert found.difficult.mentions == 0
    assert math.isnan(found.difficult.pointing["word"].value)
    assert "–" in str(found).splitlines()[2]
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["difficult"]["pointing"]["word"] == {"value": None, "interval": None}
    assert plain["whole"]["mentions"] == 5
    assert isinstance(found, Grounding)


def test_drawn_scenes_can_be_measured(tiny_captioner: Captioner, tmp_path: Path) -> None:
    from captioner.datasets import read_coco

    scenes.write(tmp_path, train=0, val=5, size=(64, 48))
    found = measure(
        tiny_captioner,
        read_coco(tmp_path / "captions_val.json", tmp_path / "images"),
        read(tmp_path / "instances_val.json"),
        scenes.kinds_of,
        bootstrap=30,
    )
    assert found.whole.photos == 5
    assert found.whole.mentions > 25
    drawn = [scenes.draw(1, scenes.ROOM + 1 + n, (64, 48)) for n in range(5)]
    boxes = read(tmp_path / "instances_val.json")
    for number, scene in enumerate(drawn, start=scenes.ROOM + 1):
        expected = {
            (thing.kind, tuple(np.array(thing.box) / (64, 48, 64, 48))) for thing in scene.things
        }
        assert {(k, b) for k, own in boxes[str(number)].items() for b in own} == expected
