from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from captioner import metrics, systems
from captioner.cli import main
from captioner.errors import DataError
from tests.commands import one_error

PEOPLE = {
    "b/COCO_val2014_000000000042.jpg": ["A dog runs over a log.", "The brown dog jumps."],
    "COCO_val2014_000000000073.jpg": ["Two men sit on a red bench.", "Men on a bench."],
    "000000000101.jpg": ["A cat sleeps in the sun.", "A small cat lies on a wall."],
}
QUICK = ("bleu", "rouge_l", "cider")  # METEOR is a Java program
SAID = {42: "A dog jumps over a log.", 73: "Two dogs on a bench, a dog.", 101: "A cat on a wall."}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the same captions and references in several formats."""
    monkeypatch.chdir(tmp_path)
    images = [{"id": int(name[-8:-4]), "file_name": name} for name in PEOPLE]
    annotations = [
        {"image_id": image["id"], "caption": text}
        for image in images
        for text in PEOPLE[str(image["file_name"])]
    ]
    Path("people.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    rows = [{"image_id": number, "caption": text} for number, text in SAID.items()]
    Path("said.json").write_text(json.dumps(rows))
    names = [f"COCO_val2014_{number:012}.jpg" for number in SAID]
    pairs = list(zip(names, SAID.values(), strict=True))
    lines = [json.dumps({"file": f"val/{name}", "caption": text}) for name, text in pairs]
    Path("said.jsonl").write_text("\n".join(lines))
    Path("said.csv").write_text("image,caption\n" + "".join(f'{n},"{t}"\n' for n, t in pairs))
    Path("said.tsv").write_text("".join(f"x/{name}\t{text}\n" for name, text in pairs))
    Path("said.txt").write_text("\n".join(SAID.values()))
    Path("one.txt").write_text("\n".join(texts[0] for texts in PEOPLE.values()))
    Path("two.txt").write_text("\n".join(texts[1] for texts in PEOPLE.values()) + "\n")
    return tmp_path


def _matched(said: str, *references: str) -> systems.Matched:
    return systems.match(systems.read(said), [systems.read(path) for path in references])


@pytest.mark.parametrize(
    ("said", "references"),
    [
        ("said.json", ["people.json"]),
        ("said.jsonl", ["people.json"]),
        ("said.csv", ["people.json"]),
        ("said.tsv", ["people.json"]),
        ("said.txt", ["one.txt", "two.txt"]),
    ],
)
def test_scores_are_the_metrics_whatever_the_format(
    here: Path, said: str, references: list[str]
) -> None:
    found = systems.score(_matched(said, *references), names=QUICK, bootstrap=20)
    expected = metrics.score(
        list(SAID.values()),
        list(PEOPLE.values()),
        names=QUICK,
        bootstrap=20,
    )
    for name, score in expected.items():
        assert str(found[name]) == str(score)


def test_what_needs_no_references() -> None:
    said = ["A dog and a dog.", "A cat.", "A cat.", "Two red birds fly."]
    found = systems.describe(said, bootstrap=200)
    assert found["length"].value == pytest.approx((5 + 2 + 2 + 4) / 4)
    assert found["repetition"].value == 0.25
    assert found["distinct_1"].value == pytest.approx(8 / 13)  # a dog and cat two red birds fly
    assert found["distinct_2"].value == pytest.approx(7 / 9)  # a dog twice, a cat twice
    assert found["different"].value == 0.75
    low, high = found["repetition"].interval or (1, 0)
    assert 0 <= low < 0.25 < high <= 1


def test_a_system_is_compared_photo_by_photo(here: Path) -> None:
    """The same captions in another order and format do not differ; worse ones do."""
    rows = [json.dumps({"image_id": n, "caption": t}) for n, t in reversed(SAID.items())]
    Path("again.json").write_text(f"[{','.join(rows)}]")
    differences, photos = systems.compare(
        _matched("said.jsonl", "people.json"), _matched("again.json", "people.json"), bootstrap=50
    )
    assert photos == 3
    assert [d.name for d in differences] == ["bleu_4", "rouge_l", "cider"]
    for difference in differences:
        assert (difference.value, difference.interval, difference.chance) == (0.0, (0.0, 0.0), 1.0)
    worse = [{"image_id": n, "caption": "Nothing"} for n in SAID]
    Path("worse.json").write_text(json.dumps(worse[:2]))
    differences, photos = systems.compare(
        _matched("said.json", "people.json"), _matched("worse.json", "people.json"), bootstrap=50
    )
    assert photos == 2
    assert all(d.value > 0 for d in differences[1:])


def test_the_difference_is_that_of_the_scores(here: Path) -> None:
    Path("b.json").write_text(
        json.dumps(
            [
                {"image_id": n, "caption": texts[1]}
                for n, texts in zip(SAID, PEOPLE.values(), strict=True)
            ]
        )
    )
    one, other = _matched("said.json", "people.json"), _matched("b.json", "people.json")
    differences, _ = systems.compare(one, other, bootstrap=50)
    scores = [systems.score(each, names=QUICK, bootstrap=0) for each in (one, other)]
    for difference in differences:
        expected = scores[0][difference.name].value - scores[1][difference.name].value
        assert difference.value == pytest.approx(expected)
        low, high = difference.interval
        assert low <= high
        assert np.isfinite([low, high]).all()


def test_few_photos_are_told_of(here: Path) -> None:
    Path("one.json").write_text('[{"image_id": 42, "caption": "A dog"}]')
    notes = _matched("one.json", "people.json").notes
    assert "1 of the 3 photos with references are scored: the others have no caption" in notes
    assert notes[-1].startswith("of one photo CIDEr is 0 and BLEU is that of one sentence")
    assert _matched("said.json", "people.json").notes == (
        "scores of 3 photos vary much: read the intervals, not the numbers",
    )


@pytest.mark.parametrize(
    ("said", "references", "message"),
    [
        (
            [{"image_id": 7, "caption": "x"}, {"image_id": 42, "caption": "y"}],
            "people.json",
            "x.json: 1 of 2 photos have no references in people.json, first '7'",
        ),
        ([{"image_id": 42, "caption": "x"}], "one.txt", "one.txt is lines of text and x.json name"),
        ([{"image_id": 42, "caption": " "}], "people.json", "x.json: holds no caption"),
        ([{"image": 42}], "people.json", "x.json: JSON, but not of captions: it is a list; expec"),
    ],
)
def test_what_cannot_be_matched_is_said(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    said: object,
    references: str,
    message: str,
) -> None:
    Path("x.json").write_text(json.dumps(said))
    assert main(["score", "x.json", references]) == 2
    assert one_error(capsys).startswith(f"captioner: {message}")


def test_photos_of_one_id_cannot_be_told_apart(here: Path) -> None:
    Path("a.csv").write_text("file,caption\na/dog.jpg,x\nb/dog.jpg,y\n")
    Path("b.csv").write_text("file,caption\nc/dog.jpg,x\n")
    with pytest.raises(DataError, match=r"^a.csv: a/dog.jpg and b/dog.jpg have one id, dog"):
        _matched("a.csv", "b.csv")
    assert _matched("a.csv", "a.csv").names == ("a/dog.jpg", "b/dog.jpg")


def test_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["score", "said.csv", "people.json", "--bootstrap", "20"]
    own += [text for name in QUICK for text in ("--metric", name)]
    assert main([*own, "--against", "said.json"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[:6]] == [
        *("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
    ]
    assert "said.csv less said.json, 3 photos:\n  bleu_4   +0.0000" in out
    assert "no difference is shown" in out
    assert err == ("captioner: scores of 3 photos vary much: read the intervals, not the numbers\n")
    assert main([*own, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record) == {"scores", "notes"}
    assert record["scores"]["length"]["value"] > 0
    assert main(["score", "a", "b", "--against", "c", "--bootstrap", "0"]) == 2
    assert "--against compares by resampling" in one_error(capsys)


def test_photos_with_names_of_any_kind_are_matched_by_their_ids(here: Path) -> None:
    """Of one's own photos, results say what the captions file calls `id`."""
    images = [{"id": 7, "file_name": "my dog.jpg"}, {"id": 9, "file_name": "b/12.jpg"}]
    annotations = [{"image_id": 7, "caption": "A dog."}, {"image_id": 9, "caption": "A cat."}]
    Path("own.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    rows = [{"image_id": 9, "caption": "Cats."}, {"image_id": 7, "caption": "Dogs."}]
    Path("own_results.json").write_text(json.dumps(rows))
    found = _matched("own_results.json", "own.json")
    assert dict(zip(found.said, found.references, strict=True)) == {
        "Cats.": ("A cat.",),
        "Dogs.": ("A dog.",),
    }
    Path("named.json").write_text(json.dumps([{"image_id": 12, "caption": "Cats."}]))
    assert _matched("named.json", "own.json").references == (("A cat.",),)  # as before: the name's


_ROW = '{"image_id": 42, "caption": %s}'
_HEADED = b"image,caption\n"
HOSTILE = {
    "empty.txt": (b"", "the file is empty; expected captions"),
    "blank.csv": (b" \n\n", "the file is empty; expected captions"),
    "headed.csv": (_HEADED, "holds no caption"),
    "short.csv": (_HEADED + b"a.jpg\n", "line 2 has 1 columns, the heading 2"),
    "leaves.csv": (_HEADED + b"../../a.jpg,A dog.\n", "expected a name inside the folder"),
    "latin.txt": ("ein Hündchen".encode("latin-1"), "line 1 is not UTF-8 text (byte 5)"),
    "zeros.txt": (b"\0" * 50, "no text: it holds control characters"),
    "zip.txt": (b"PK\3\4 a dog", "no text: it holds control characters"),
    "number.json": (b"5", "no JSON of captions: it begins with '5'"),
    "null.json": (b"null", "no JSON of captions: it begins with 'null'"),
    "text.jsonl": (b"a dog\n", "no JSON of captions: it begins with 'a dog'"),
    "cut.json": (b'[{"image_id": 42, "cap', "broken JSON in line 1, column 19"),
    "deep.json": (b"[" * 100_000, "lists and objects nested a thousand deep"),
    "digits.json": (b'[{"image_id": ' + b"9" * 6000 + b"}]", "a number of thousands of digits"),
    "nan.json": (b'[{"image_id": NaN, "caption": "A dog."}]', "a number with a point (nan)"),
    "truth.json": (b'[{"image_id": true, "caption": "A dog."}]', "is true or false (True)"),
    "nested.json": (b'[{"image_id": [42], "caption": "A dog."}]', "image_id is a list"),
    "said.json": (f"[{_ROW % 5}]".encode(), "[0].caption is a whole number (5), expected text"),
    "null_results.json": (f"[{_ROW % 'null'}]".encode(), "[0].caption is null, expected text"),
    "several.json": (f"[{_ROW % '[]'}]".encode(), "[0].caption is a list, expected text"),
    "spaces.json": (f"[{_ROW % json.dumps('  ')}]".encode(), "holds no caption"),
    "half.json": (b'[{"image_id": 42, "caption": "\\ud800"}]', "half a character"),
    "torn.jsonl": (b'{"file": "a.jpg", "caption": "A dog."}\n{"fi', "line 2 is no JSON"),
    "images.json": (b'{"images": 5, "annotations": []}', "images is a whole number (5)"),
    "karpathy.json": (
        b'{"dataset": "x", "images": [{"filename": "a", "split": "val", '
        b'"sentences": [{"raw": 5}]}]}',
        "raw is a whole number (5), expected text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["said", "references", "against"])
def test_a_bad_file_of_captions_is_one_line(
    here: Path, name: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = HOSTILE[name]
    Path("bad").mkdir()
    bad = f"bad/{name}"
    Path(bad).write_bytes(content)
    typed = {
        "said": [bad, "people.json"],
        "references": ["said.json", "people.json", bad],
        "against": ["said.json", "people.json", "--against", bad],
    }[place]
    assert main(["score", *typed, "--bootstrap", "9", "--metric", "bleu"]) == 2
    error = one_error(capsys)
    assert error.startswith(f"captioner: {bad}: ")
    assert message in error
    assert len(error) < 400


def test_a_caption_without_words_is_scored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image_id": number, "caption": text} for number, text in
            zip(SAID, ("...", "\u001b[31m \n!", "\U0001f436"), strict=True)]  # fmt: skip
    Path("odd.json").write_text(json.dumps(rows))
    assert main(["score", "odd.json", "people.json", "--metric", "bleu", "--metric", "cider"]) == 0
    out, err = capsys.readouterr()
    assert "bleu_4 0.0000" in out
    assert "\u001b" not in out + err
