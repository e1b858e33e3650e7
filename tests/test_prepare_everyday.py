"""data/prepare_everyday.py: pairs of several languages in, files that share no sentence out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from captioner.captions.recipe import Source
from captioner.translations.pairs import read_pairs
from captioner.translations.recipe import PairSource

DATA = Path(__file__).resolve().parents[1] / "data"
sys.path.insert(0, str(DATA))

import prepare_everyday  # noqa: E402
from prepare_everyday import SEEDS, bare, differs_by_a_word_at_most, main, words_of  # noqa: E402

COUNT = 40  # sentences of each file
EVERYDAY = {"de": 6, "fr": 6, "es": 6, "cs": 3, "ko": 3}
CAPTIONS = {"es": 6, "ko": 6}


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few of everything; the English sentences are the same in all everyday files."""
    monkeypatch.setattr(prepare_everyday, "EVERYDAY", EVERYDAY)
    monkeypatch.setattr(prepare_everyday, "CAPTIONS", CAPTIONS)
    monkeypatch.setattr(prepare_everyday, "TRANSLATED", 4)
    monkeypatch.setattr(prepare_everyday, "CHOSEN", 5)
    folder = tmp_path / "shared"
    for language, name in (("de", "deu"), ("fr", "fra"), ("es", "spa"), ("ko", "kor")):
        pairs = [f"Tom has {n} cats.\t{language} {n // 2} eins" for n in range(COUNT)]
        pairs += [f"tom has {n} cats!\t{language} {n} zwei\tCC" for n in range(COUNT)]
        pairs += [f"{SEEDS['en'][0]}\tnahe", f"I'm a doctor.\t{language} nahe"]
        pairs += [f"Nearby.\t{text}" for text in SEEDS.get(language, ())]
        write(folder / f"tatoeba/eng-{name}.tsv", pairs)
    for language, name in (("cs", "ces"), ("ko", "kor")):
        pairs = [f"Tom has {n} cats.\t{language} {n} drei" for n in range(COUNT)]
        write(folder / f"written/eng-{name}-everyday.tsv", pairs)
    sets = ("everyday", "flickr8k", "coco-part")
    photos = [f"{sets[n % 3]}\t{n:05}_x.jpg" for n in range(COUNT)]
    captions = [f"A photo of {n}.\t{{}} {n} foto\t{photos[n]}" for n in range(COUNT)]
    captions += [f"Again {n}.\t{{}} {n} zwei\t{photos[n]}" for n in range(0, COUNT, 2)]
    write(folder / "written/eng-spa-captions.tsv", [line.format("es") for line in captions])
    korean = [line.format("ko") for line in captions]
    korean += ["Tom has 3 cats.\t셋\ttatoeba\t", "A hat.\t모자\tmulti30k\t00004.jpg"]
    write(folder / "korean/eng-kor.tsv", ["english\tkorean\tsource\tphoto", *korean])
    for split, count, first in (("train", COUNT, 0), ("val", 5, 100)):
        for language in ("en", "de", "fr", "cs"):
            lines = [f"Multi {split} {language} {n}" for n in range(count)]
            write(folder / f"multi30k/{split}.{language}", lines)
        photos = [f"{n + first:05}.jpg" for n in range(count)]
        write(folder / f"multi30k/{split}.images.txt", photos)
    return folder


@pytest.fixture
def made(shared: Path, tmp_path: Path) -> Path:
    assert main([str(shared), "-o", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def held(folder: Path, language: str) -> set[str]:
    """All sentences of a language in the sets apart."""
    files = [*folder.glob(f"test/*.{language}"), *folder.glob(f"val/*.{language}")]
    return {bare(text) for file in files for line in lines(file) for text in line.split("\t")}


def test_nothing_apart_is_learned(made: Path) -> None:
    files = sorted(made.glob("train/*.tsv"))
    assert [file.stem for file in files] == [
        *(f"captions.en-{language}" for language in ("cs", "de", "es", "fr", "ko")),
        *(f"everyday.en-{language}" for language in ("cs", "de", "es", "fr", "ko")),
    ]
    sources = {name: held(made, name) for name in ("de", "fr", "es", "cs", "ko")}
    # Into English, the further translations of a held-out sentence are references as well.
    tests = [*made.glob("test/*.en-*.en"), *made.glob("val/*.en-*.en")]
    english = {bare(line) for file in tests for line in lines(file)}
    assert len(english) > 30
    for file in files:
        for line in lines(file):
            one, other = line.split("\t")
            assert bare(one) not in english
            assert bare(other) not in sources[file.stem[-2:]]


def test_all_translations_are_references(made: Path) -> None:
    sources = lines(made / "test/everyday.en-de.en")
    references = lines(made / "test/everyday.en-de.de")
    assert len(sources) == len(references) == EVERYDAY["de"]
    for source, several in zip(sources, references, strict=True):
        number = int(source.split()[2])
        wanted = {"T": f"de {number // 2} eins", "t": f"de {number} zwei"}[source[0]]
        assert several.split("\t") == [wanted]
    back = zip(
        lines(made / "test/everyday.de-en.de"), lines(made / "test/everyday.de-en.en"), strict=True
    )
    number = {german: several.split("\t") for german, several in back}
    for german, several in number.items():
        _, n, form = german.split()
        pair = [f"Tom has {m} cats." for m in (2 * int(n), 2 * int(n) + 1)]
        assert several == (pair if form == "eins" else [f"tom has {n} cats!"])


def test_photos_apart_are_in_no_training_file(made: Path) -> None:
    apart = set(lines(made / "photos-apart.txt"))
    document = json.loads((made / "korean-captions-train.json").read_text(encoding="utf-8"))
    learned = {image["file_name"].replace("/images/", "/") for image in document["images"]}
    assert learned
    assert not learned & apart
    tested = json.loads((made / "korean-captions-test.json").read_text(encoding="utf-8"))
    names = {image["file_name"].replace("/images/", "/") for image in tested["images"]}
    assert len(names) == CAPTIONS["ko"]
    assert names <= apart
    # Flickr8k's photos are Flickr30k's: Multi30k's lines about them are not learned either.
    numbers = {name.partition("/")[2][:5] for name in apart if name.startswith("flickr8k/")}
    multi = {line.split("\t")[0] for line in lines(made / "train/captions.en-de.tsv")}
    assert numbers
    assert not multi & {f"Multi train en {int(number)}" for number in numbers}
    chosen = lines(made / "val/captions.en-de.en")
    assert len(chosen) == 5
    assert chosen == lines(made / "val/captions.en-cs.en") == lines(made / "val/captions.fr-en.en")
    assert not multi & set(chosen)
    for file in ("es-en.es", "en-ko.en"):
        assert len(lines(made / f"test/captions.{file}")) == 4


def test_sentences_that_are_looked_at_are_in_no_file(made: Path) -> None:
    for file in [*made.glob("train/*.tsv"), *made.glob("test/*"), *made.glob("val/*")]:
        text = file.read_text(encoding="utf-8")
        assert "nahe" not in text
        assert "doctor" not in text
        assert not any(seed in text for seeds in SEEDS.values() for seed in seeds)


def test_the_same_input_gives_the_same_files(made: Path, shared: Path, tmp_path: Path) -> None:
    assert main([str(shared), "-o", str(tmp_path / "again")]) == 0
    names = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert len(names) > 50
    for name in names:
        assert (made / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert main([str(shared), "-o", str(made)]) == 0  # over its own files


def test_another_line_moves_nothing(made: Path, shared: Path) -> None:
    """Each sentence is drawn by itself: data that grow keep most of their sets."""
    before = set(lines(made / "test/everyday.en-fr.en"))
    with (shared / "tatoeba/eng-fra.tsv").open("a", encoding="utf-8") as file:
        file.write("One more.\tEncore une.\n")
    assert main([str(shared), "-o", str(made)]) == 0
    assert len(before & set(lines(made / "test/everyday.en-fr.en"))) >= len(before) - 1


def test_what_was_made_can_be_read(made: Path, shared: Path) -> None:
    from captioner import datasets

    source = PairSource(tsv=str(made / "train/everyday.en-de.tsv"), languages=("en", "de"))
    assert len(read_pairs(source)) == len(lines(made / "train/everyday.en-de.tsv"))
    for folder, name in (("everyday", 0), ("flickr8k", 1), ("coco-part", 2)):
        (shared / folder / "images").mkdir(parents=True)
        for number in range(name, COUNT, 3):
            (shared / folder / f"images/{number:05}_x.jpg").write_bytes(b"")
    captions = Source(captions=str(made / "korean-captions-test.json"), images=str(shared))
    assert len(datasets.read(captions)) == CAPTIONS["ko"]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("I am a student.", "I am a student", True),
        ("I'm a student!", "I am a student.", True),
        ("I am a good student.", "I am a student.", True),
        ("I am student.", "I am a student.", True),
        ("I am a nurse.", "I am a student.", True),
        ("You are a student.", "I am a student.", False),
        ("a b c d", "b c d e", False),
        ("", "One", True),
        ("오늘 톰은 보라에게 사과를 주었다.", "오늘 찰스는 보라에게 사과를 주었다.", True),
        ("Je suis très fatigué.", "Je suis étudiant.", False),
    ],
)
def test_what_is_near_a_sentence(one: str, other: str, near: bool) -> None:
    for pair in ((one, other), (other, one)):
        assert differs_by_a_word_at_most(*map(words_of, pair)) == near


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tatoeba/eng-deu.tsv", None, "no such file; expected sentences, one a line"),
        ("written/eng-spa-captions.tsv", "A dog.\tUn perro.\n", "line 1 has 2 tab-separated"),
        ("multi30k/val.de", "Eine Zeile.\n", "val.en has 5, val.de has 1, val.images.txt has 5"),
        ("tatoeba/eng-fra.tsv", "A dog.\tUn chien.\n", "everyday fr: 1 sentences or photos are"),
    ],
)
def test_what_is_not_as_it_should_be(
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    message: str,
) -> None:
    if content is None:
        (shared / name).unlink()
    else:
        (shared / name).write_text(content, encoding="utf-8")
    assert main([str(shared), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_another_folder_is_left_alone(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("Dear", encoding="utf-8")
    assert main([str(shared), "-o", str(tmp_path / "letters")]) == 1
    assert "there is something else there" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]
