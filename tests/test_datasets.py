from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.captions.recipe import Source
from captioner.datasets import (
    Photo,
    photo_id,
    read,
    read_coco,
    read_flickr8k,
    read_karpathy,
    split_off,
)
from captioner.errors import ConfigError, DataError

Captions = Mapping[str, Sequence[str]]

PHOTOS: Captions = {
    "2513260012_03d33305cf.jpg": ["A black dog .", "  Two dogs in the snow\t"],
    "1000268201_693b08cb0e.jpg": ["A child climbs the stairs ."],
    "36979_2f4a9e01bc.jpg": ["Café at night", "a “quoted” sign", "Neon ☕"],
}


def coco(captions: Captions) -> dict[str, Any]:
    images = [{"id": 7 * i + 3, "file_name": name} for i, name in enumerate(captions)]
    return {
        "images": images,
        "annotations": [
            {"id": 1, "image_id": image["id"], "caption": caption}
            for image in images
            for caption in captions[image["file_name"]]
        ],
    }


def karpathy(captions: Captions, split: str = "train") -> dict[str, Any]:
    return {
        "dataset": "flickr8k",
        "images": [
            {"filename": name, "split": split, "sentences": [{"raw": text} for text in texts]}
            for name, texts in captions.items()
        ],
    }


def tokens(captions: Captions) -> str:
    return "".join(
        f"{name}#{i}\t{text}\n" for name, texts in captions.items() for i, text in enumerate(texts)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an (empty) folder of photos inside: reading opens none of them."""
    path = tmp_path_factory.mktemp("data")
    (path / "images").mkdir()
    return path


def put(folder: Path, content: object, name: str = "captions") -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8", newline="")
    return path


def load(folder: Path, content: object, format: str = "auto", split: str = "") -> list[Photo]:
    path = put(folder, content)
    return read(Source(str(path), str(folder / "images"), format, split))


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("COCO_val2014_000000391895.jpg", "391895"),
        ("COCO_train2014_000000000009.jpg", "9"),
        ("000000391895.jpg", "391895"),
        ("val2014/COCO_val2014_000000391895.jpg", "391895"),
        ("1000268201_693b08cb0e.jpg", "1000268201"),
        ("1000268201.jpg", "1000268201"),
        ("flickr/1000268201_693b08cb0e_z.jpg", "1000268201"),
        ("flickr\\1000268201_693b08cb0e.png", "1000268201"),
        ("2258277193_586949ec62.jpg.1", "2258277193"),
        ("000000000000.jpg", "0"),
        ("2_dogs.jpg", "2_dogs"),
        ("holiday.2019.png", "holiday.2019"),
        ("scene_00017.png", "scene_00017"),
        ("9" * 6000 + ".jpg", "9" * 6000),
        ("", ""),
    ],
)
def test_photo_id(name: str, identity: str) -> None:
    assert photo_id(name) == identity


@settings(deadline=None)
@given(st.text())
def test_photo_id_takes_any_name_and_ignores_folders(name: str) -> None:
    assert photo_id(f"some/{name}") == photo_id(name)


def test_captions_come_stripped_in_the_order_of_the_file(folder: Path) -> None:
    assert load(folder, coco(PHOTOS)) == [
        Photo(
            "2513260012",
            folder / "images" / "2513260012_03d33305cf.jpg",
            ("A black dog .", "Two dogs in the snow"),
        ),
        Photo(
            "1000268201",
            folder / "images" / "1000268201_693b08cb0e.jpg",
            ("A child climbs the stairs .",),
        ),
        Photo(
            "36979",
            folder / "images" / "36979_2f4a9e01bc.jpg",
            ("Café at night", "a “quoted” sign", "Neon ☕"),
        ),
    ]


NAMES = st.from_regex(r"\A[0-9]{3,9}_[0-9a-f]{10}\.jpg\Z")
SENTENCES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=23)


@settings(max_examples=60, deadline=None)
@given(captions=st.dictionaries(NAMES, st.lists(SENTENCES, max_size=5), min_size=1, max_size=7))
def test_the_three_formats_agree(folder: Path, captions: Captions) -> None:
    captions = {**captions, "1000268201_693b08cb0e.jpg": ["A child ."]}
    expected = load(folder, coco(captions), "coco")
    assert all(photo.captions and all(photo.captions) for photo in expected)
    assert load(folder, coco(captions)) == expected
    for form in ("auto", "karpathy"):
        assert load(folder, karpathy(captions), form, "train") == expected
    for form in ("auto", "flickr8k"):
        assert load(folder, tokens(captions), form) == expected


def test_the_named_readers_give_what_read_gives(folder: Path) -> None:
    images = folder / "images"
    expected = load(folder, coco(PHOTOS))
    assert read_coco(put(folder, coco(PHOTOS)), images) == expected
    assert read_karpathy(put(folder, karpathy(PHOTOS)), str(images), "train") == expected
    assert read_flickr8k(str(put(folder, tokens(PHOTOS))), images) == expected


def test_photos_without_captions_stay_out(folder: Path) -> None:
    captions = {**PHOTOS, "31_0123456789.jpg": [], "37_0123456789.jpg": ["", "  \t "]}
    assert load(folder, coco(captions)) == load(folder, coco(PHOTOS))


def test_byte_order_marks_and_windows_line_ends_do_not_matter(folder: Path) -> None:
    expected = load(folder, coco(PHOTOS))
    assert load(folder, b"\xef\xbb\xbf" + json.dumps(coco(PHOTOS)).encode()) == expected
    assert load(folder, "\ufeff" + tokens(PHOTOS).replace("\n", "\r\n") + "\r\n") == expected


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_of_other_unicode_codings_is_read(folder: Path, coding: str) -> None:
    for content in (json.dumps(coco(PHOTOS), ensure_ascii=False), tokens(PHOTOS)):
        assert load(folder, content.encode(coding)) == load(folder, content)


@pytest.mark.parametrize("form", ["{}", "{:06}", " {} "])
def test_ids_as_text_are_the_same_numbers(folder: Path, form: str) -> None:
    expected = load(folder, coco(PHOTOS))
    for part, key in (("annotations", "image_id"), ("images", "id")):
        document = coco(PHOTOS)
        for entry in document[part]:
            entry[key] = form.format(entry[key])
        assert load(folder, document) == expected


def test_ids_that_are_two_numbers_for_one_stay_apart(folder: Path) -> None:
    document = coco(PHOTOS)
    document["images"][0]["id"], document["images"][1]["id"] = 3, "03"
    for annotation in document["annotations"][:2]:
        annotation["image_id"] = 3
    document["annotations"][2]["image_id"] = "03"
    assert load(folder, document) == load(folder, coco(PHOTOS))
    document["annotations"][2]["image_id"] = "003"  # of which of the two?
    with pytest.raises(DataError, match=r"first annotations\[2\] has image_id '003'"):
        load(folder, document)


@pytest.mark.parametrize("there", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_names_as_windows_and_macos_write_them_are_found(
    tmp_path: Path, there: Any, written: Any, slash: str
) -> None:
    kept = unicodedata.normalize(there, "été/Ø café.jpg")
    (tmp_path / "images" / kept).parent.mkdir(parents=True)
    (tmp_path / "images" / kept).touch()
    name = unicodedata.normalize(written, "été/Ø café.jpg").replace("/", slash)
    for content, split in ((coco({name: ["x"]}), ""), (karpathy({name: ["x"]}), "train")):
        (photo,) = load(tmp_path, content, split=split)
        assert photo.path == tmp_path / "images" / kept
        assert photo.photo_id == unicodedata.normalize("NFC", "Ø café")
    names = put(tmp_path, unicodedata.normalize(there, name), "split.txt")
    (photo,) = load(tmp_path, tokens({name: ["x"]}), split=str(names))
    assert photo.path == tmp_path / "images" / kept


def test_a_backslash_that_belongs_to_a_name_stays(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a\\b.jpg").touch()
    assert load(tmp_path, coco({"a\\b.jpg": ["x"]}))[0].path == tmp_path / "images" / "a\\b.jpg"
    missing = load(folder, coco({"a\\nowhere.jpg": ["x"]}))
    assert missing[0].path == folder / "images" / "a\\nowhere.jpg"  # as it was written


def test_names_too_long_for_any_disk_are_missing_photos(folder: Path) -> None:
    for name in ("x" * 5000, "é" * 5000, "x\\" * 3000 + "y"):
        for content in (
            coco({name: ["x"]}),
            tokens({name: ["x"]}),
            tokens({name + ".jpg.1": ["x"]}),
        ):
            with contextlib.suppress(DataError):
                assert load(folder, content)[0].captions == ("x",)
    with pytest.raises(DataError, match="does not exist: set images to the folder"):
        read(Source(str(put(folder, coco(PHOTOS))), "x" * 5000))


def test_karpathy_splits_and_folders(folder: Path) -> None:
    document = karpathy({f"COCO_val2014_{i:012}.jpg": [f"caption {i}"] for i in range(11, 16)})
    for image, split in zip(
        document["images"], ["train", "val", "restval", "test", "train"], strict=True
    ):
        image |= {"split": split, "filepath": "val2014"}
    assert [p.photo_id for p in load(folder, document, split="train")] == ["11", "15"]
    both = load(folder, document, split="train + restval")
    assert [p.photo_id for p in both] == ["11", "13", "15"]
    assert both[0].path == folder / "images" / "val2014" / "COCO_val2014_000000000011.jpg"


def test_flickr8k_split_file_chooses_and_orders(folder: Path) -> None:
    names = list(PHOTOS)
    split = put(folder, f"{names[2]}\n{names[0]}\r\n\n", "split.txt")
    chosen = load(folder, tokens(PHOTOS), split=str(split))
    assert [photo.path.name for photo in chosen] == [names[2], names[0]]
    everything = {photo.path.name: photo for photo in load(folder, tokens(PHOTOS))}
    assert chosen == [everything[names[2]], everything[names[0]]]


def test_the_token_files_odd_name_is_left_out_unless_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    odd = "2258277193_586949ec62.jpg.1"
    content = tokens({**PHOTOS, odd: ["people waiting for the subway"]})
    assert [p.path.name for p in load(tmp_path, content)] == list(PHOTOS)
    (tmp_path / "images" / odd).touch()
    assert [p.path.name for p in load(tmp_path, content)] == [*PHOTOS, odd]


def test_line_separators_inside_a_caption_do_not_end_it(folder: Path) -> None:
    (photo,) = load(folder, "a.jpg#0\ta dog\u2028in the snow\x85again\n")
    assert photo.captions == ("a dog\u2028in the snow\x85again",)


# What goes wrong: every message names the file, the place, what came and what was expected.


def changed(document: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return document


def without(document: dict[str, Any], *path: str | int) -> dict[str, Any]:
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return document


BAD = {
    "not UTF-8": (b"a.jpg#0\tA dog\nb.jpg#0\tCaf\xe9\n", "line 2 is not UTF-8 text (byte 25): "),
    "broken JSON": ('{"images": [],\n "annotations": [}', "broken JSON in line 2, column 18: "),
    "cut-off JSON": (json.dumps(coco(PHOTOS))[:70], "the file may be cut short"),
    "endless nesting": ("[" * 200_000, "JSON that no data set holds: "),
    "endless number": ('{"images": ' + "1" * 5000 + "}", "JSON that no data set holds: "),
    "other JSON": (
        {"type": "instances", "images": []},
        "it is an object with 'type', 'images'; expected COCO's 'images' and 'annotations', or",
    ),
    "a JSON list": ("[1]", "JSON, but not of captions: it is a list; expected COCO's"),
    "images is no list": (
        changed(coco(PHOTOS), "images", to="none"),
        "the file.images is text ('none'), expected a list",
    ),
    "an image is no object": (
        changed(coco(PHOTOS), "images", 1, to=["a.jpg"]),
        "images[1] is a list, expected an object with 'id'",
    ),
    "no file name": (
        without(coco(PHOTOS), "images", 2, "file_name"),
        "images[2] has no 'file_name', only 'id'",
    ),
    "an id that is true": (
        changed(coco(PHOTOS), "images", 0, "id", to=True),
        "images[0].id is true or false (True), expected a whole number or text",
    ),
    "an id with a point": (
        changed(coco(PHOTOS), "annotations", 1, "image_id", to=3.5),
        "annotations[1].image_id is a number with a point (3.5), expected a whole number or text",
    ),
    "no caption": (
        without(coco(PHOTOS), "annotations", 0, "caption"),
        "annotations[0] has no 'caption', only 'id', 'image_id'",
    ),
    "a caption of null": (
        changed(coco(PHOTOS), "annotations", 0, "caption", to=None),
        "annotations[0].caption is null, expected text",
    ),
    "half a character": (
        changed(coco(PHOTOS), "annotations", 0, "caption", to="dog \ud83d"),
        r"annotations[0].caption is 'dog \ud83d', which holds half a character",
    ),
    "an id twice": (
        changed(coco(PHOTOS), "images", 1, "id", to=3),
        "images[1] has the id 3 of an earlier image",
    ),
    "a file twice": (
        changed(coco(PHOTOS), "images", 2, "file_name", to="2513260012_03d33305cf.jpg"),
        "images[2] names the file '2513260012_03d33305cf.jpg' again, first images[0]: put all",
    ),
    "foreign annotations": (
        without(coco({**PHOTOS, "31_0123456789.jpg": []}), "images", 2),
        "3 annotations speak of photos that are not in 'images', first annotations[3] has "
        "image_id 17: ",
    ),
    "no captions at all": (coco({name: [] for name in PHOTOS}), "holds no photo with a caption"),
    "nothing": ("", "the file is empty; expected captions"),
    "blank lines": (" \n\n", "the file is empty; expected captions"),
    "JSON lines": (
        '{"picture": "a.jpg", "title": "a dog"}\n{"picture": "b.jpg", "title": "a cat"}\n',
        "JSON lines with 'picture', 'title'; expected a name (file_name, file, filename, …) and a "
        "caption (caption, captions, text, …) in every object",
    ),
    "a key twice": (
        json.dumps(coco(PHOTOS))[:-1] + ', "annotations": []}',
        "an object gives 'annotations' twice, of which one would be lost",
    ),
    "a caption of NaN": (
        changed(coco(PHOTOS), "annotations", 0, "caption", to=float("nan")),
        "annotations[0].caption is a number with a point (nan), expected text",
    ),
    "cut-off UTF-16": (json.dumps(coco(PHOTOS)).encode("utf-16")[:-1], "begins as UTF-16"),
    "broken UTF-16": ("[1".encode("utf-16"), "broken JSON in line 1"),
    "no tab": (
        "a.jpg#0\ta dog\na.jpg,a cat\n",
        "line 2 is 'a.jpg,a cat', expected 'name.jpg#0', a tab and the caption",
    ),
    "no number": ("a.dat\ta dog", r"line 1 is 'a.dat\ta dog', expected 'name.jpg#0', a tab"),
    "a line twice": (
        "a.jpg#0\ta dog\nb.jpg#0\ta cat\na.jpg#0\ta cow\n",
        "line 3 gives 'a.jpg#0' again, first on line 1",
    ),
    "a token name that leaves": ("../a.jpg#0\ta dog", "line 1 names the file '../a.jpg', expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError) as error:
        load(tmp_path, content)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'captions'}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/etc/passwd", "../x.jpg", "a/../../x.jpg", "a/..", "a/", "C:x.jpg"),
        *("\\x.jpg", "..\\x.jpg", "a\\..\\x.jpg", "C:\\x.jpg", "a\0.jpg", "a\n.jpg"),
    ],
)
def test_file_names_stay_inside_the_folder(folder: Path, name: str) -> None:
    expected = "expected a name inside the folder of photos, without '..', drive or leading slash"
    for document, split in ((coco({name: ["x"]}), ""), (karpathy({name: ["x"]}), "train")):
        with pytest.raises(DataError, match=r"images\[0\] names the file") as error:
            load(folder, document, split=split)
        assert expected in str(error.value)


@pytest.mark.parametrize("name", ["a..b.jpg", "...jpg", "a/b.jpg", "./a.jpg", "été.jpg", "a b.jpg"])
def test_harmless_file_names_pass(folder: Path, name: str) -> None:
    assert load(folder, coco({name: ["x"]}))[0].path == folder / "images" / name


def test_karpathy_folders_do_not_leave_either(folder: Path) -> None:
    document = changed(karpathy(PHOTOS), "images", 1, "filepath", to="../..")
    with pytest.raises(DataError, match=r"names the file '../../1000268201_693b08cb0e.jpg'"):
        load(folder, document, split="train")


def test_karpathy_names_the_splits_it_holds(folder: Path) -> None:
    document = karpathy(PHOTOS)
    document["images"][2]["split"] = "restval"
    for split, shown in (("", "''"), ("dev", "'dev'"), ("val", "'val'"), ("train+dev", "'dev'")):
        with pytest.raises(DataError) as error:
            load(folder, document, split=split)
        assert f"no photos of the split {shown}; the file holds 'train' (2), 'restval' (1)" in str(
            error.value
        )


def test_karpathy_fields(folder: Path) -> None:
    bad = changed(karpathy(PHOTOS), "images", 0, "sentences", 1, to={"tokens": []})
    with pytest.raises(DataError, match=r"images\[0\].sentences\[1\] has no 'raw', only 'tokens'"):
        load(folder, bad, split="train")


def test_coco_has_no_splits_inside(folder: Path) -> None:
    with pytest.raises(DataError, match="a COCO file has no splits inside, but split is 'val'"):
        load(folder, coco(PHOTOS), split="val")


def test_split_files(folder: Path) -> None:
    content = tokens(PHOTOS)
    for lines, message in {
        "b.jpg\n36979_2f4a9e01bc.jpg\na.jpg": "2 of 3 photos have no captions in .*captions, first "
        "'b.jpg' on line 1: name two files of one data set",
        "\n\n36979_2f4a9e01bc.jpg\n36979_2f4a9e01bc.jpg": "line 4 names '36979_2f4a9e01bc.jpg' "
        "again, first on line 3",
        " \n": "names no photos, expected a list like '1000268201_693b08cb0e.jpg'",
    }.items():
        split = put(folder, lines, "split.txt")
        with pytest.raises(DataError, match=message) as error:
            load(folder, content, split=str(split))
        assert str(error.value).startswith(f"{split}: ")
    with pytest.raises(DataError, match=r"none.txt: no such file"):
        load(folder, content, split=str(folder / "none.txt"))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"captions: no such file; expected captions"):
        read_coco(tmp_path / "captions", tmp_path)
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read_coco(tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"cannot be read: "):
        read_coco("a\0b", tmp_path)
    path = put(tmp_path, coco(PHOTOS))
    with pytest.raises(DataError) as error:
        read_coco(path, tmp_path / "images")
    assert str(error.value) == (
        f"{path}: its folder of photos '{tmp_path / 'images'}' does not exist: set images to the "
        "folder that holds '2513260012_03d33305cf.jpg'"
    )
    with pytest.raises(DataError, match="captions' is a file, not a folder: set images to"):
        read_coco(path, path)


def test_unknown_formats(folder: Path) -> None:
    path = put(folder, coco(PHOTOS))
    with pytest.raises(ConfigError, match="format is 'voc', but should be one of auto, "):
        read(Source(str(path), str(folder), "voc"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=7),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=7), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where anything stands in a JSON document, the document itself left out."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    below = [place for key, inner in items for place in places(inner, (*path, key))]
    return ([path] if path else []) + below


def survives(action: Callable[[], list[Photo]]) -> None:
    """Either photos come, or one line that says why not."""
    try:
        photos = action()
    except DataError as error:
        message = str(error)
    else:
        assert photos
        assert all(photo.captions for photo in photos)
        return
    assert "\n" not in message
    message.encode()


@settings(max_examples=300, deadline=None)
@given(data=st.data(), value=JSON, form=st.sampled_from(["auto", "coco", "karpathy"]))
def test_any_json_in_any_place_gives_photos_or_a_data_error(
    folder: Path, data: st.DataObject, value: Any, form: str
) -> None:
    writer = data.draw(st.sampled_from([coco, karpathy]))
    document = writer({name: list(texts) for name, texts in PHOTOS.items()})
    changed(document, *data.draw(st.sampled_from(places(document))), to=value)
    split = "train" if writer is karpathy else ""
    survives(lambda: load(folder, document, form, split))


@settings(deadline=None)
@given(value=JSON, form=st.sampled_from(["auto", "coco", "karpathy"]))
def test_any_json_document_gives_photos_or_a_data_error(
    folder: Path, value: Any, form: str
) -> None:
    survives(lambda: load(folder, json.dumps(value), form, "train"))


@settings(max_examples=200, deadline=None)
@given(
    form=st.sampled_from(["auto", "coco", "karpathy", "flickr8k"]),
    content=st.binary(max_size=60)
    | st.text("a#0\t./\\\n\r{[\ud7ff", max_size=29).map(lambda text: text.encode())
    | st.binary(max_size=5).map(lambda tail: tokens(PHOTOS).encode() + tail),
)
def test_any_bytes_give_photos_or_a_data_error(folder: Path, form: str, content: bytes) -> None:
    survives(lambda: load(folder, content, form))
    survives(lambda: load(folder, tokens(PHOTOS), split=str(put(folder, content, "split.txt"))))


# Carving off a validation split.


def photos_of(identities: Sequence[str]) -> list[Photo]:
    return [Photo(name, Path(f"{i}.jpg"), ("x",)) for i, name in enumerate(identities)]


MANY = [str(i) for i in range(997)]


@given(seed=st.integers(), share=st.floats(0.05, 0.95), order=st.randoms())
@settings(max_examples=20, deadline=None)
def test_split_off_partitions_by_photo_id_alone(seed: int, share: float, order: Any) -> None:
    photos = photos_of(MANY + MANY[::3])
    rest, part = split_off(photos, share, seed)
    assert {p.photo_id for p in rest}.isdisjoint(p.photo_id for p in part)
    assert sorted(rest + part, key=photos.index) == photos
    assert part == sorted(part, key=photos.index)
    shuffled = photos.copy()
    order.shuffle(shuffled)
    fewer = split_off(shuffled[:400], share, seed)[1]
    assert {p.photo_id for p in fewer} <= {p.photo_id for p in part}
    assert set(split_off(shuffled, share, seed)[1]) == set(part)


def test_split_off_takes_about_the_share_and_listens_to_the_seed() -> None:
    photos = photos_of([str(i) for i in range(10_007)])
    parts = [frozenset(split_off(photos, 0.1, seed)[1]) for seed in range(5)]
    assert all(880 < len(part) < 1120 for part in parts)  # four standard deviations around 1001
    assert len(set(parts)) == 5
    assert parts[0] <= set(split_off(photos, 0.2, 0)[1])


def test_split_off_names_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"share to split off is 1\.5, but should lie between 0"):
        split_off(photos_of(MANY), 1.5)
    with pytest.raises(
        DataError, match=r"a share of 0\.5 of 1 photos leaves . and .: choose a share"
    ):
        split_off(photos_of(["1"]), 0.5)


def test_reading_captions_needs_neither_torch_nor_pillow() -> None:
    code = "import sys, captioner.datasets; sys.exit(bool({'torch', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
