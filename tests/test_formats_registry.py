from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.errors import ConfigError, DataError
from captioner.formats import registry
from captioner.formats.entries import Entry, one_line, photo_id
from captioner.formats.registry import FORMATS, NAMES, Format

ROOT = Path(__file__).parent.parent
ENTRIES = (
    Entry("holiday/dog.jpg", ("A dog, running.", 'It says "woof" | loudly; twice'), "", "train"),
    Entry("été/Ø café.png", ("Neon ☕ at night",), "", "val"),
    Entry("holiday.2019.png", ("a man’s\u2028hat",), "", "train"),
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The photos of ENTRIES, which need not open."""
    for number, entry in enumerate(ENTRIES):
        path = tmp_path / "images" / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number + 3))
    return tmp_path / "images"


def _kept(entry: Entry, form: Format) -> Entry:
    """What a format can hold of an entry."""
    captions = entry.captions if form.several else entry.captions[:1]
    if not form.named:
        return Entry("", captions, photo_id(entry.name))
    return Entry(entry.name, captions, "", entry.split if form.splits else "")


def _output(form: Format) -> str:
    return next((name.replace("*", "1") for name in form.files), "folder")


@pytest.mark.parametrize("form", FORMATS, ids=NAMES)
def test_what_is_written_is_read_again(form: Format, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / _output(form)
    assert registry.of_output(path) is form
    registry.write(ENTRIES, path, form, images=images)
    for name in ("auto", form.name):
        split = "*" if form.name == "karpathy" else ""
        found = registry.read(path, name, split=split, images=images)
        assert found.format is form
        assert found.notes == ()
        own = [
            Entry(e.name, e.captions, "" if form.named else e.identity, e.split)
            for e in found.entries
        ]
        expected = [_kept(entry, form) for entry in ENTRIES]
        assert sorted(own, key=str) == sorted(expected, key=str)
    before = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    registry.write(ENTRIES, path, form, images=images)  # the same bytes, and nothing besides
    assert {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()} == before


STEMS = st.text(st.characters(categories=("L", "N"), include_characters="_- .,#;"), min_size=1)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
TEXT_FORMATS = [form for form in FORMATS if form.text is not None]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("form", TEXT_FORMATS, ids=[form.name for form in TEXT_FORMATS])
def test_any_captions_come_back(
    form: Format, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stems = data.draw(st.lists(STEMS, min_size=1, max_size=4, unique_by=_plain))
    entries = []
    for number, stem in enumerate(stems):
        texts = data.draw(st.lists(TEXTS, min_size=1, max_size=3))
        captions = tuple(text for text in map(str.strip, texts) if text) or ("x",)
        entries.append(Entry(f"f/{stem.strip() or 'x'}-{number}.jpg", captions))
    path = tmp_path_factory.mktemp("any") / _output(form)
    registry.write(entries, path, form)
    split = "train" if form.name == "karpathy" else ""
    found = registry.read(path, split=split)
    assert found.format is form
    came = [(e.name if form.named else e.identity, e.captions) for e in found.entries]
    kept = [_kept(entry, form) for entry in entries]
    assert came == [(e.name if form.named else e.identity, e.captions) for e in kept]


def _plain(stem: str) -> str:
    return unicodedata.normalize("NFC", stem.strip())


@settings(max_examples=60, deadline=None)
@given(captions=st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1))
def test_line_breaks_end_no_caption(
    captions: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = tuple(text for text in map(str.strip, captions) if text) or ("x",)
    entries = [Entry("a.jpg", kept)]
    folder = tmp_path_factory.mktemp("breaks")
    for name in ("flickr8k", "flickr30k", "tabs"):
        form = registry.named(name)
        registry.write(entries, folder / name, form)
        (entry,) = registry.read(folder / name, name).entries
        assert entry.captions == tuple(one_line(caption).strip() for caption in kept)


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(["auto", *NAMES]),
    content=st.binary(max_size=60)
    | st.text('{}[]":,|\t\n#0 file_name caption image_id.jpg', max_size=60).map(str.encode),
)
def test_any_bytes_give_entries_or_one_line(
    name: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "captions"
    path.write_bytes(content)
    try:
        found = registry.read(path, name)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert str(path) in str(error)  # noqa: PT017
        return
    for entry in found.entries:
        assert entry.name or entry.identity


def test_the_documents_table_is_the_registrys() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert registry.table() in text


def test_names_are_told_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(ConfigError, match=r"^format is 'voc', but should be one of auto, "):
        registry.named("voc")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("captions.csv", "csv"),
        ("train/metadata.csv", "imagefolder"),
        ("results.csv", "flickr30k"),
        ("captions_test2014_me_results.json", "results"),
        ("dataset_flickr8k.json", "karpathy"),
        ("captions_train2017.json", "coco"),
        ("a/b", "folder"),
        ("Flickr8k.token.txt", "flickr8k"),
    ],
)
def test_an_outputs_name_tells_its_format(name: str, expected: str) -> None:
    assert registry.of_output(Path(name)).name == expected


def test_a_name_that_tells_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^out.xml: its name tells no format; add --to with "):
        registry.of_output(Path("out.xml"))


def test_a_folder_stands_for_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,text\na.jpg,A dog\n")
    found = registry.read(tmp_path)
    assert (found.format.name, found.path) == ("imagefolder", tmp_path / "metadata.csv")


def test_json_of_one_line_is_no_json_lines(tmp_path: Path) -> None:
    document = {"images": [{"id": 3, "file_name": "a.jpg"}], "annotations": []}
    document["annotations"] = [{"image_id": 3, "caption": "A dog"}]
    for indent in (None, 1):
        (tmp_path / "c.json").write_text(json.dumps(document, indent=indent))
        found = registry.read(tmp_path / "c.json")
        assert found.format.name == "coco"
        assert found.entries == (Entry("a.jpg", ("A dog",), "3"),)


def test_the_choices_of_a_source_are_the_formats() -> None:
    from captioner.captions.recipe import Source
    from captioner.settings import field_of

    assert field_of(Source, "format").metadata["choices"] == ("auto", *NAMES)


def test_what_is_shown_of_a_format_fits_a_table() -> None:
    for row in registry.table().splitlines():
        assert len(re.split(r"(?<!\\)\|", row)) == 7
