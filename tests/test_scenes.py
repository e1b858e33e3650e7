from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from captioner import datasets, scenes
from captioner.captions.recipe import Source
from captioner.errors import ConfigError, DataError
from captioner.scenes import BACKGROUNDS, COLOURS, KINDS, Scene, Thing, files

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "data" / "make_scenes.py"
SEED = 13


@pytest.fixture(scope="module")
def world() -> list[Scene]:
    """Enough scenes to meet every kind, colour and place; small, because only their facts count."""
    return [scenes.draw(SEED, index, (61, 53)) for index in range(300)]


def fingerprint(scene: Scene) -> str:
    parts = [scene.picture.tobytes(), repr(scene.captions).encode(), scene.background.encode()]
    for thing in scene.things:
        parts += [f"{thing.kind} {thing.colour} {thing.box}".encode(), thing.mask.tobytes()]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


# ---- the same scene ------------------------------------------------------------------------------


def test_the_same_numbers_give_the_same_scene() -> None:
    alone = fingerprint(scenes.draw(3, 11, (67, 71)))
    for index in (5, 12, 11):
        last = fingerprint(scenes.draw(3, index, (67, 71)))
    assert last == alone


def test_other_numbers_give_another_scene() -> None:
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (11, 1), (1, 11)]
    assert len({fingerprint(scenes.draw(seed, i, (64, 64))) for seed, i in pairs}) == len(pairs)


def test_no_hash_seed_reaches_a_scene() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_scenes import fingerprint, scenes\n"
        "print(*(fingerprint(scenes.draw(2, i, (64, 64))) for i in range(12)))"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(ROOT / "tests")]
    prints = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert prints == {" ".join(fingerprint(scenes.draw(2, i, (64, 64))) for i in range(12)) + "\n"}


def test_sizes_of_one_proportion_show_the_same() -> None:
    for index in range(12):
        small, large = scenes.draw(4, index, (60, 90)), scenes.draw(4, index, (120, 180))
        assert small.captions == large.captions
        for one, two in zip(small.things, large.things, strict=True):
            assert (one.kind, one.colour) == (two.kind, two.colour)
            assert np.abs(np.array(one.box) * 2 - two.box).max() <= 4
            assert one.mask.mean() == pytest.approx(two.mask.mean(), rel=0.15)


# ---- boxes and masks -----------------------------------------------------------------------------


def assert_sound(scene: Scene, size: tuple[int, int]) -> None:
    assert scene.picture.size == size
    assert scene.picture.mode == "RGB"
    assert scene.background in BACKGROUNDS
    assert 1 <= len(scene.things) <= 3
    for thing in scene.things:
        assert thing.kind in KINDS
        assert thing.colour in COLOURS
        assert thing.mask.shape == size[::-1]
        assert thing.mask.dtype == np.bool_
        x, y, width, height = thing.box
        assert width > 0
        assert height > 0
        inside = np.zeros_like(thing.mask)
        inside[y : y + height, x : x + width] = True
        assert not (thing.mask & ~inside).any()
        for edge in (y, y + height - 1):
            assert thing.mask[edge, x : x + width].any()
        for edge in (x, x + width - 1):
            assert thing.mask[y : y + height, edge].any()
    assert sum(thing.mask.astype(int) for thing in scene.things).max() == 1  # nothing is covered


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    index=st.integers(0, 10**7),
    size=st.tuples(st.integers(32, 211), st.integers(32, 211)),
)
def test_any_size_is_sound(seed: int, index: int, size: tuple[int, int]) -> None:
    scene = scenes.draw(seed, index, size)
    assert_sound(scene, size)
    assert len(set(scene.captions)) == 5


@pytest.mark.parametrize("size", [(32, 32), (32, 997), (997, 32), (613, 521)])
def test_the_extremes_are_sound(size: tuple[int, int]) -> None:
    for index in range(4):
        assert_sound(scenes.draw(5, index, size), size)


def test_boxes_hardly_overlap(world: list[Scene]) -> None:
    for scene in world:
        for i, one in enumerate(scene.things):
            for other in scene.things[:i]:
                (x, y, w, h), (x0, y0, w0, h0) = one.box, other.box
                across, down = min(x + w, x0 + w0) - max(x, x0), min(y + h, y0 + h0) - max(y, y0)
                assert across <= 1 or down <= 1  # pixels, which the reduction may add


def test_the_world_has_everything(world: list[Scene]) -> None:
    things = [thing for scene in world for thing in scene.things]
    assert {thing.kind for thing in things} == set(KINDS)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {scene.background for scene in world} == set(BACKGROUNDS)
    assert {len(scene.things) for scene in world} == {1, 2, 3}
    shares = np.array([thing.mask.mean() for thing in things])
    assert 0.02 < np.median(shares) < 0.12  # large enough to see, small enough to point at


def test_each_thing_has_its_colour() -> None:
    for index in range(60):
        scene = scenes.draw(8, index, (128, 128))
        pixels = np.asarray(scene.picture).astype(float)
        for thing in scene.things:
            apart = np.linalg.norm(pixels[thing.mask] - COLOURS[thing.colour], axis=1)
            assert (apart < 45).mean() > 0.12, (index, thing.kind, thing.colour)


def test_masks_leave_nothing_out() -> None:
    """On paper, whose ground is known (cream with pale lines), all ink lies within the masks."""
    papers = [i for i in range(60) if scenes.draw(9, i, (32, 32)).background == "paper"]
    assert papers
    for scene in (scenes.draw(9, index, (256, 256)) for index in papers):
        covered = np.any([thing.mask for thing in scene.things], axis=0)
        steps = [(down, across) for down in range(7) for across in range(7)]
        near = np.any([np.roll(covered, step, (0, 1)) for step in steps], axis=0)  # with shadows
        near |= np.roll(covered, -1, 0) | np.roll(covered, -1, 1)  # half covered: not in a mask
        assert np.asarray(scene.picture)[~near].min() > 180


# ---- captions ------------------------------------------------------------------------------------

PEOPLE = {"man", "woman", "boy", "girl"}
PLURALS = {"man": "men", "woman": "women"}
MEANS = {kind: {kind} for kind in KINDS}
MEANS |= {PLURALS.get(kind, f"{kind}s"): {kind} for kind in KINDS}
MEANS |= {"child": {"boy", "girl"}, "children": {"boy", "girl"}, "person": PEOPLE, "people": PEOPLE}
COUNTS = {"a": 1, "an": 1, "the": 1, "two": 2, "three": 3}
COLOUR = "|".join(COLOURS)
NAMED = re.compile(
    rf"\b(?P<count>a|an|the|two|three) (?:(?P<colour>{COLOUR}) )?"
    rf"(?P<noun>{'|'.join(sorted(MEANS, key=len, reverse=True))})\b"
    rf"(?: (?:in|wearing) (?:an? )?(?P<worn>{COLOUR})(?: (?P<garment>shirt|dress))?\b)?"
)
WHERE = {
    "field": {"grass"},
    "grass": {"grass", "night"},
    "snow": {"snow"},
    "beach": {"beach"},
    "sand": {"beach"},
    "water": {"water"},
    "sea": {"water"},
    "street": {"street"},
    "road": {"street"},
    "night": {"night"},
    "dark": {"night"},
    "paper": {"paper"},
}
OTHER_WORDS = {
    *("a", "an", "the", "two", "three", "is", "are", "there", "and", "with", "picture", "white"),
    *("of", "on", "in", "at", "to", "left", "right", "above", "over", "below", "under"),
    *("between", "next", "near", "outside", "sky", "wearing", "standing", "waving", "walking"),
    *("running", "jumping", "sitting", "lying", "flying", "floating", "sailing", "parked"),
    *("driving", "growing", "shining", "drawn", "playing", "holding"),
}


def candidates(scene: Scene, match: re.Match[str]) -> list[list[Thing]]:
    """The things, or the groups of things, that a phrase of a caption can mean."""
    colour = match["colour"] or match["worn"]
    fit = [
        thing
        for thing in scene.things
        if thing.kind in MEANS[match["noun"]] and colour in (None, thing.colour)
    ]
    if match["garment"] == "dress":
        fit = [thing for thing in fit if thing.kind in {"woman", "girl"}]
    count = COUNTS[match["count"]]
    if count == 1:
        return [[thing] for thing in fit]
    return [fit] if len(fit) == count else []


def centre(thing: Thing) -> tuple[float, float]:
    x, y, width, height = thing.box
    return x + width / 2, y + height / 2


def holds(relation: str, these: list[Thing], those: list[Thing]) -> bool:
    xs, ys = zip(*map(centre, these), strict=True)
    xs0, ys0 = zip(*map(centre, those), strict=True)
    return {
        "to the left of": max(xs) < min(xs0),
        "to the right of": min(xs) > max(xs0),
        "above": max(ys) < min(ys0),
        "over": max(ys) < min(ys0),
        "below": min(ys) > max(ys0),
        "under": min(ys) > max(ys0),
        "next to": gap(these, those) < 0.17 * 53 + 2,
        "near": gap(these, those) < 0.17 * 53 + 2,
    }[relation]


def gap(these: list[Thing], those: list[Thing]) -> float:
    """How far apart two groups are along the axis on which they are farther apart, in pixels."""

    def apart(axis: int) -> int:
        low = [min(t.box[axis] for t in group) for group in (these, those)]
        high = [max(t.box[axis] + t.box[axis + 2] for t in group) for group in (these, those)]
        return max(low[1] - high[0], low[0] - high[1])

    return max(apart(0), apart(1))


RELATION = re.compile(r"\b(to the left of|to the right of|above|over|below|under|next to|near) $")


def related(caption: str) -> Iterator[tuple[re.Match[str], str, re.Match[str]]]:
    """Every "this, relation, that" of a caption."""
    names = list(NAMED.finditer(caption))
    for one, other in pairwise(names):
        found = RELATION.search(caption[one.end() : other.start()])
        if found:
            yield one, found[1], other


def test_captions_are_five_different_sentences(world: list[Scene]) -> None:
    for scene in world:
        assert len(scene.captions) == len(set(scene.captions)) == 5
        for caption in scene.captions:
            assert re.fullmatch(r"[A-Z][a-z]*(,? [a-z]+)*\.", caption), caption


def test_captions_name_what_is_there_in_its_colour(world: list[Scene]) -> None:
    for scene in world:
        for caption in map(str.lower, scene.captions):
            names = list(NAMED.finditer(caption))
            assert any(name["colour"] or name["worn"] for name in names), caption
            for name in names:
                assert candidates(scene, name), (caption, scene.things)
            nouns = [word for word in re.findall(r"[a-z]+", caption) if word in MEANS]
            assert nouns == [name["noun"] for name in names], caption


def test_captions_name_all_things_between_them(world: list[Scene]) -> None:
    for scene in world:
        named = {
            thing.kind
            for caption in map(str.lower, scene.captions)
            for name in NAMED.finditer(caption)
            for group in candidates(scene, name)
            for thing in group
        }
        assert named == {thing.kind for thing in scene.things}


def test_captions_are_grammatical(world: list[Scene]) -> None:
    many = {PLURALS.get(kind, f"{kind}s") for kind in KINDS} | {"children", "people"}
    for scene in world:
        for caption in map(str.lower, scene.captions):
            for name in NAMED.finditer(caption):
                assert (name["noun"] in many) == (COUNTS[name["count"]] > 1), caption
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption), caption
            first = NAMED.search(caption)
            verb = re.search(r"\b(is|are)\b", caption)
            assert first
            if verb:
                assert (verb[0] == "are") == (COUNTS[first["count"]] > 1), caption


def test_relations_hold(world: list[Scene]) -> None:
    met = set()
    for scene in world:
        for caption in map(str.lower, scene.captions):
            for one, relation, other in related(caption):
                pairs = [
                    (these, those)
                    for these in candidates(scene, one)
                    for those in candidates(scene, other)
                    if these is not those and not set(map(id, these)) & set(map(id, those))
                ]
                assert any(holds(relation, *pair) for pair in pairs), (caption, scene.things)
                met.add(relation)
    assert met == set(RELATION.pattern[3:-3].split("|"))


def test_between_is_between(world: list[Scene]) -> None:
    met = 0
    for scene in world:
        for caption in map(str.lower, scene.captions):
            if " between " in caption:
                groups = [candidates(scene, name) for name in NAMED.finditer(caption)]
                middle, left, right = ([centre(t)[0] for t in g[0]] for g in groups)
                assert (max(left) < min(middle) and max(middle) < min(right)) or (
                    max(right) < min(middle) and max(middle) < min(left)
                ), caption
                met += 1
    assert met


def test_places_are_true(world: list[Scene]) -> None:
    for scene in world:
        for caption in map(str.lower, scene.captions):
            grounds = caption.replace("night sky", "sky")
            for word in re.findall(r"[a-z]+", grounds):
                assert scene.background in WHERE.get(word, set(BACKGROUNDS)), caption
            for name in re.finditer(
                NAMED.pattern + r"(?: [a-z]+ing)? in the (?:night )?sky", caption
            ):
                for thing in chain(*candidates(scene, name)):
                    assert centre(thing)[1] < 0.6 * scene.picture.height, caption


def test_groups_are_counted_and_pairs_are_told_apart(world: list[Scene]) -> None:
    for scene in world:
        alike = {(thing.kind, thing.colour) for thing in scene.things}
        for kind in {kind for kind, _ in alike}:
            if sum(kind == k for k, _ in alike) > 1:  # a red car and a blue car
                words = [w for w, means in MEANS.items() if means == {kind}]
                for caption in map(str.lower, scene.captions):
                    for name in NAMED.finditer(caption):
                        if name["noun"] in words:
                            assert name["colour"] or name["worn"], caption


def test_the_vocabulary_is_small_and_known(world: list[Scene]) -> None:
    text = " ".join(caption for scene in world for caption in scene.captions).lower()
    words = set(re.findall(r"[a-z]+", text))
    assert len(words) < 120
    things = {word for word in words if scenes.kinds_of(word)}
    assert words - things - set(COLOURS) - set(WHERE) - OTHER_WORDS == set()
    assert things & (set(COLOURS) | set(WHERE) | OTHER_WORDS) == set()


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("dog", {"dog"}),
        ("Dogs", {"dog"}),
        ("men", {"man"}),
        ("women", {"woman"}),
        ("child", {"boy", "girl"}),
        ("children", {"boy", "girl"}),
        ("people", PEOPLE),
        ("shirt", PEOPLE),
        ("dress", {"woman", "girl"}),
        ("sun", {"sun"}),
        ("left", set()),
        ("red", set()),
        ("grass", set()),
        ("", set()),
    ],
)
def test_kinds_of_a_word(word: str, kinds: set[str]) -> None:
    assert set(scenes.kinds_of(word)) == kinds


# ---- files ---------------------------------------------------------------------------------------


def unpacked(segmentation: dict[str, list[int]]) -> np.ndarray:
    """COCO's uncompressed run lengths, read from their definition: 0 first, down the columns."""
    height, width = segmentation["size"]
    values = [i % 2 for i, run in enumerate(segmentation["counts"]) for _ in range(run)]
    mask = np.zeros((height, width), dtype=bool)
    for position, value in enumerate(values):
        mask[position % height, position // height] = value
    assert len(values) == height * width
    return mask


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_run_lengths_unpack_to_the_mask(mask: np.ndarray) -> None:
    packed = scenes.run_lengths(mask)
    assert (unpacked(packed) == mask).all()
    assert all(run > 0 for run in packed["counts"][1:])


def test_run_lengths_of_a_known_mask() -> None:
    mask = np.array([[0, 1, 1], [0, 0, 1]], dtype=bool)
    assert scenes.run_lengths(mask) == {"size": [2, 3], "counts": [2, 1, 1, 2]}
    assert scenes.run_lengths(~mask)["counts"] == [0, 2, 1, 1, 2]


FILES = ("captions_train", "captions_val", "instances_train", "instances_val")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "scenes"
    scenes.write(folder, train=7, val=3, seed=SEED, size=(47, 41))
    return folder


def load(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def test_write_reports_what_it_wrote(written: Path) -> None:
    train, val = scenes.write(written, train=7, val=3, seed=SEED, size=(47, 41))
    assert (train.name, train.photos, train.captions) == ("train", 7, 35)
    assert (val.name, val.photos, val.captions) == ("val", 3, 15)
    assert train.things == len(load(written, "instances_train")["annotations"])
    text = " ".join(a["caption"] for a in load(written, "captions_val")["annotations"])
    assert val.words == len(set(re.findall("[a-z]+", text.lower())))


def test_the_files_are_coco(written: Path) -> None:
    ids: dict[str, list[int]] = {"images": [], "captions": [], "instances": []}
    for name in FILES:
        content = load(written, name)
        images = {image["id"]: image for image in content["images"]}
        assert {(i["width"], i["height"]) for i in images.values()} == {(47, 41)}
        assert {i["license"] for i in images.values()} <= {x["id"] for x in content["licenses"]}
        assert {a["image_id"] for a in content["annotations"]} == set(images)
        for image in images.values():
            assert re.fullmatch(r"\d{6}\.png", image["file_name"])
            assert int(image["file_name"].split(".")[0]) == image["id"] > 0
            assert Image.open(written / "images" / image["file_name"]).size == (47, 41)
        ids[name.split("_")[0]] += [a["id"] for a in content["annotations"]]
        ids["images"] += images if name.startswith("captions") else []
    for numbers in ids.values():
        assert len(set(numbers)) == len(numbers)
        assert min(numbers) > 0
    crowd = [a["image_id"] for a in load(written, "instances_train")["annotations"]]
    assert max(map(crowd.count, crowd)) == 3  # as many as there can be, so that ids could collide
    assert len(ids["images"]) == 10  # no picture is in both splits
    assert len(list((written / "images").iterdir())) == 10


def test_the_annotations_are_the_scenes(written: Path) -> None:
    for split in ("train", "val"):
        captions, instances = (
            load(written, f"captions_{split}"),
            load(written, f"instances_{split}"),
        )
        names = {category["id"]: category["name"] for category in instances["categories"]}
        assert tuple(names.values()) == KINDS
        for image in captions["images"]:
            scene = scenes.draw(SEED, image["id"], (47, 41))
            assert (
                tuple(a["caption"] for a in captions["annotations"] if a["image_id"] == image["id"])
                == scene.captions
            )
            drawn = [a for a in instances["annotations"] if a["image_id"] == image["id"]]
            for thing, found in zip(scene.things, drawn, strict=True):
                assert names[found["category_id"]] == thing.kind
                assert found["colour"] == thing.colour
                assert tuple(found["bbox"]) == thing.box
                assert found["area"] == thing.mask.sum()
                assert found["iscrowd"] == 0
                assert (unpacked(found["segmentation"]) == thing.mask).all()
            picture = np.asarray(Image.open(written / "images" / image["file_name"]))
            assert (picture == np.asarray(scene.picture)).all()


def test_the_files_are_read_as_any_photos(written: Path) -> None:
    photos = datasets.read(
        Source(captions=str(written / "captions_val.json"), images=str(written / "images"))
    )
    assert [len(photo.captions) for photo in photos] == [5, 5, 5]
    assert [photo.photo_id for photo in photos] == ["500001", "500002", "500003"]
    assert all(photo.path.is_file() for photo in photos)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_longer_run_keeps_what_a_shorter_one_wrote(written: Path, tmp_path: Path) -> None:
    scenes.write(tmp_path, train=4, val=3, seed=SEED, size=(47, 41))
    shorter, longer = contents(tmp_path), contents(written)
    differing = {name for name in shorter if shorter[name] != longer[name]}
    assert differing == {"captions_train.json", "instances_train.json"}


def test_an_interrupted_run_leaves_no_half_files_and_goes_on(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = scenes.draw

    def interrupted(seed: int, index: int, size: tuple[int, int] = (224, 224)) -> Scene:
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(index)
        return draw(seed, index, size)

    monkeypatch.setattr(files, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scenes.write(tmp_path, train=7, val=3, seed=SEED, size=(47, 41))
    assert sorted(contents(tmp_path)) == [f"images/00000{n}.png" for n in (1, 2, 3)]

    def counted(seed: int, index: int, size: tuple[int, int] = (224, 224)) -> Scene:
        drawn.append(index)
        return draw(seed, index, size)

    monkeypatch.setattr(files, "draw", counted)
    scenes.write(tmp_path, train=7, val=3, seed=SEED, size=(47, 41))
    assert drawn == [1, 2, 3, 4, 5, 6, 7, 500001, 500002, 500003]
    assert contents(tmp_path) == contents(written)


def test_a_damaged_picture_is_drawn_again(written: Path, tmp_path: Path) -> None:
    scenes.write(tmp_path, train=7, val=3, seed=SEED, size=(47, 41))
    for number, keep in ((2, 0), (3, 20), (5, 900), (6, -6)):
        path = tmp_path / "images" / f"00000{number}.png"
        path.write_bytes(path.read_bytes()[:keep])
    scenes.write(tmp_path, train=7, val=3, seed=SEED, size=(47, 41))
    assert contents(tmp_path) == contents(written)


def test_another_seed_or_size_replaces_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes.write(tmp_path, train=2, val=1, seed=SEED, size=(47, 41))
    with monkeypatch.context() as patch:
        patch.setattr(files, "draw", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            scenes.write(tmp_path, train=2, val=1, seed=SEED + 1, size=(47, 41))
    assert not list(tmp_path.glob("*.json"))  # they spoke of pictures that are being replaced
    scenes.write(tmp_path, train=2, val=1, seed=SEED + 1, size=(53, 41))
    assert load(tmp_path, "captions_val")["images"][0]["width"] == 53
    first = Image.open(tmp_path / "images" / "000001.png")
    assert first.tobytes() == scenes.draw(SEED + 1, 1, (53, 41)).picture.tobytes()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.write(tmp_path, train=2, val=1, seed=SEED, size=(47, 41))
    before = contents(tmp_path)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"^cannot write scenes to .*: No space left on device; "):
        scenes.write(tmp_path, train=2, val=1, seed=SEED, size=(47, 41))
    assert contents(tmp_path) == before


def test_there_is_no_progress_bar_in_a_log(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    scenes.write(tmp_path, train=1, val=1, size=(32, 32))
    assert capsys.readouterr() == ("", "")


# ---- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1, 0, (64, 64)), "seed is -1; give a number from 0 upwards"),
        ((0, -2, (64, 64)), "index is -2; give a number from 0 upwards"),
        ((0, 0, (31, 64)), "size is (31, 64); give a width and a height of 32 to 2048 pixels"),
        ((0, 0, (64, 2049)), "size is (64, 2049); give a width and a height of 32 to 2048 pixels"),
        ((0, 0, (64,)), "size is (64,); give a width and a height of 32 to 2048 pixels"),
    ],
)
def test_draw_says_what_is_out_of_range(numbers: tuple, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        scenes.draw(*numbers)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": -1}, "train is -1; give a number of scenes from 0 to 500000"),
        ({"val": 500_001}, "val is 500001; give a number of scenes from 0 to 500000"),
        ({"seed": -3}, "seed is -3; give a number from 0 upwards"),
        ({"size": (8, 8)}, "size is (8, 8); give a width and a height of 32 to 2048 pixels"),
    ],
)
def test_write_says_what_is_out_of_range(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        scenes.write(tmp_path / "new", **options)
    assert str(error.value) == message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "text", ['{"info": {"description": "COCO 2017"}}', '{"info": []}', "[]", "{", "\ufeff"]
)
def test_write_spares_the_annotations_of_photos(tmp_path: Path, text: str) -> None:
    path = tmp_path / "captions_val.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        scenes.write(tmp_path, train=1, val=1, size=(32, 32))
    assert str(error.value) == f"{path} holds no drawn scenes; give an empty folder"
    assert contents(tmp_path) == {"captions_val.json": text.encode()}


def test_write_spares_pictures_that_it_did_not_draw(tmp_path: Path) -> None:
    path = tmp_path / "images" / "000001.png"
    path.parent.mkdir()
    Image.new("RGB", (32, 32), "red").save(path)
    before = path.read_bytes()
    with pytest.raises(DataError) as error:
        scenes.write(tmp_path, train=1, val=1, size=(32, 32))
    assert str(error.value) == f"{path} is not a drawn scene; give an empty folder"
    assert path.read_bytes() == before


def test_write_says_that_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("here")
    with pytest.raises(DataError) as error:
        scenes.write(path, train=1, val=1, size=(32, 32))
    assert (
        str(error.value) == f"cannot write scenes to {path}: Not a directory; give another folder"
    )


# ---- the script ----------------------------------------------------------------------------------


def run(script: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_the_script_draws_and_says_what_comes_next(tmp_path: Path, place: str) -> None:
    script, path = SCRIPT, ""
    if place == "elsewhere":  # captioner is installed, the script copied
        script, path = tmp_path / SCRIPT.name, str(ROOT)
        script.write_bytes(SCRIPT.read_bytes())
    folder = tmp_path / "out"
    options = ("--train", "3", "--val", "2", "--seed", "7", "--size", "48x40")
    done = run(script, str(folder), *options, path=path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(
        r"train  3 pictures  15 captions  \d+ different words  \d+ things", lines[0]
    )
    assert re.fullmatch(
        r"val    2 pictures  10 captions  \d+ different words  \d+ things", lines[1]
    )
    assert lines[2:] == [f"in {folder}", "next: captioner train configs/scenes.toml"]
    assert Image.open(folder / "images" / "500002.png").size == (48, 40)


def test_the_script_says_what_is_wrong(tmp_path: Path) -> None:
    done = run(SCRIPT, str(tmp_path), "--train", "-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("make_scenes: train is -1; give a number of scenes from 0 to 500000\n")
    done = run(SCRIPT, str(tmp_path), "--size", "large")
    assert done.returncode == 2
    assert "argument --size: 'large' is not like 224 or 320x240" in done.stderr


def test_the_script_teaches() -> None:
    done = run(SCRIPT, "--help")
    assert done.returncode == 0
    for text in ("example:", "--train", "captions_train.json", "boxes and masks"):
        assert text in done.stdout
