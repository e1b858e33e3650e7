from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import cli, metrics
from captioner.errors import DataError, MetricError
from captioner.studies.length import (
    LengthStudy,
    Section,
    bleu_by_length,
    cut_by_length,
    study_lengths,
    translate_sections,
)

pytest.importorskip("sacremoses")

GERMAN = ["ein", "hund", "eine", "katze", "der", "mann", "läuft", "im", "schnee", "und", "schläft"]


@dataclass
class Said:
    text: str
    error: str | None = None


def sentences(seed: int, count: int = 61, most: int = 23) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, most + 1, size=count)
    targets = [" ".join(rng.choice(GERMAN, size=n)) for n in lengths]
    return [" ".join("w" for _ in target.split()) for target in targets], targets


def worn(references: tuple[str, ...], share: float, seed: int = 0) -> list[str]:
    """Outputs that lack a share of the reference's words."""
    rng = np.random.default_rng(seed)
    return [" ".join(w for w in text.split() if rng.random() > share) for text in references]


def studied(**options: object) -> LengthStudy:
    sections = cut_by_length(*sentences(1))
    outputs = {
        name: [worn(section.references, share, seed=n) for n, section in enumerate(sections)]
        for name, share in (("attention", 0.1), ("last state", 0.3), ("attention (short)", 0.2))
    }
    return study_lengths(sections, outputs, "de", **{"bootstrap": 53, **options})


def test_sections_are_cut_where_they_should_be() -> None:
    sources = [" ".join("w" * n) for n in (8, 9, 12, 13, 16, 17, 1)]
    sections = cut_by_length(sources, list("abcdefg"))
    assert [section.name for section in sections] == [
        "≤ 8", "9–12", "13–16", "≥ 17", "2 joined", "3 joined",
    ]  # fmt: skip
    assert [section.references for section in sections[:4]] == [
        ("a", "g"), ("b", "c"), ("d", "e"), ("f",),
    ]  # fmt: skip
    assert sections[4].references == ("a b", "c d", "e f")  # the seventh is left over
    assert sections[5].references == ("a b c", "d e f")
    assert sections[5].sources[1] == " ".join(sources[3:6])
    assert [section.joined for section in sections] == [1, 1, 1, 1, 2, 3]
    assert sections[0].mean_length == 4.5


@given(
    st.lists(st.integers(1, 29), min_size=1, max_size=31),
    st.sets(st.integers(1, 28), max_size=5),
    st.lists(st.integers(2, 5), max_size=2, unique=True),
)
def test_every_sentence_is_in_one_section(
    lengths: list[int], bounds: set[int], joined: list[int]
) -> None:
    sources = [" ".join(["w"] * n) for n in lengths]
    numbers = [str(n) for n in range(len(lengths))]
    sections = cut_by_length(sources, numbers, bounds=sorted(bounds), joined=joined)
    single = [text for section in sections if section.joined == 1 for text in section.references]
    assert sorted(single, key=int) == numbers
    for section in sections:
        assert section.sources
        if section.joined > 1:
            together = " ".join(section.references).split()
            assert together == numbers[: len(lengths) // section.joined * section.joined]


def test_nothing_to_cut_is_refused() -> None:
    with pytest.raises(DataError, match="2 sources came with 1 references"):
        cut_by_length(["a", "b"], ["a"])
    with pytest.raises(DataError, match="no sentence with a word"):
        cut_by_length([], [])


def test_a_system_is_asked_once_and_in_order() -> None:
    sections = cut_by_length(*sentences(3, count=7))
    asked = []

    def translate(sources):
        for source in sources:
            asked.append(source)
            yield Said("", "too long") if len(asked) == 2 else Said(f"<{source}>")

    ticks: list[int] = []
    said = translate_sections(translate, sections, lambda: ticks.append(1))
    assert asked == [source for section in sections for source in section.sources]
    assert len(ticks) == len(asked)
    assert [len(texts) for texts in said] == [len(section.sources) for section in sections]
    flat = [text for texts in said for text in texts]
    assert flat[1] == ""  # what failed says nothing
    assert flat[2] == f"<{asked[2]}>"


def test_bleu_of_a_section_equals_the_one_of_its_sentences() -> None:
    sections = cut_by_length(*sentences(5))
    outputs = {"own": [worn(section.references, 0.2) for section in sections]}
    study = study_lengths(sections, outputs, "de", bootstrap=11)
    assert study.bleu.shape == (1, len(sections), 3)
    for number, section in enumerate(sections):
        score = metrics.score_translations(
            outputs["own"][number], section.references, "de", names=["bleu"], bootstrap=11
        )["bleu"]
        assert study.bleu[0, number, 0] == pytest.approx(score.value)
        assert study.bleu[0, number, 1:] == pytest.approx(score.interval)


def test_bleu_of_what_is_translated_already_is_that_of_each_section() -> None:
    sources, references = sentences(40)
    sources = [source.replace("w", f"w{number}") for number, source in enumerate(sources)]
    said = worn(references, 0.2)
    wanted = [(reference,) for reference in references]
    found = bleu_by_length(sources, said, wanted, "de", bounds=(5, 9))
    sections = cut_by_length(sources, references, bounds=(5, 9), joined=())
    assert list(found) == [section.name for section in sections]
    of_source = dict(zip(sources, said, strict=True))
    for section in sections:
        own = [of_source[source] for source in section.sources]
        score = metrics.score_translations(
            own, section.references, "de", names=["bleu"], bootstrap=0
        )
        assert found[section.name] == pytest.approx(score["bleu"].value)


def test_a_perfect_system_is_perfect_at_every_length() -> None:
    sections = cut_by_length(*sentences(7), bounds=(8,))[1:]  # of four words and more
    study = study_lengths(sections, {"x": [s.references for s in sections]}, "de", bootstrap=3)
    np.testing.assert_allclose(study.bleu, 1)
    np.testing.assert_allclose(study.length_ratios, 1)
    assert study.comparisons == ()
    assert study.differences.shape == (0, len(sections), 3)


def test_differences_are_paired() -> None:
    study = studied(comparisons=[("attention", "attention (short)"), ("last state", "attention")])
    np.testing.assert_allclose(study.differences[:, :, 0][1], (study.bleu[1] - study.bleu[0])[:, 0])
    same = studied(comparisons=[("attention", "attention")])
    np.testing.assert_array_equal(same.differences, 0)  # independent draws would differ
    widths = study.bleu[:, :, 2] - study.bleu[:, :, 1]
    assert (study.differences[0, :, 2] - study.differences[0, :, 1] < widths[0] + widths[2]).all()


def test_the_first_system_is_compared_with_the_others() -> None:
    assert studied().comparisons == (
        ("attention", "last state"),
        ("attention", "attention (short)"),
    )


def test_the_same_seed_gives_the_same_study() -> None:
    np.testing.assert_array_equal(studied().bleu, studied().bleu)
    assert (studied().bleu[..., 1:] != studied(seed=1).bleu[..., 1:]).any()


def test_the_table_is_markdown_with_everything() -> None:
    study = studied()
    table = study.table()
    first = table.split("\n\n")[0].split("\n")
    assert first[0] == (
        "| words in the source | sentences | mean | attention | last state | attention (short) |"
    )
    assert len(first) == 2 + len(study.sections)
    value, low, high = 100 * study.bleu[1, 0]
    assert f"| {value:.1f} [{low:.1f}, {high:.1f}] |" in first[2]
    assert (
        "| words in the source | attention − last state | attention − attention (short) |" in table
    )
    assert f"{100 * study.differences[0, 0, 0]:+.1f} [" in table
    assert f"{study.length_ratios[2, 3]:.2f} |" in table
    assert table.endswith("| bootstrap 53, seed 0")
    assert study.recipe.startswith("BLEU-4, corpus | tokens: lower-cased, Moses (sacremoses ")


def test_the_study_becomes_json() -> None:
    study = studied()
    values = json.loads(json.dumps(study.to_dict()))
    assert values["systems"] == ["attention", "last state", "attention (short)"]
    assert values["sections"][4]["name"] == "2 joined"
    np.testing.assert_allclose(values["bleu"], study.bleu)


def test_the_figure_shows_every_system_in_its_colour() -> None:
    picture = studied().figure()
    assert picture.mode == "RGB"
    colours = {colour for _, colour in picture.getcolors(2**24)}
    assert {(0, 114, 178), (213, 94, 0)} <= colours
    assert (0, 158, 115) not in colours  # the third system is the first one's, dashed
    assert studied().figure().tobytes() == picture.tobytes()


def test_what_does_not_match_is_refused() -> None:
    sections = (Section("a", ("x", "y"), ("x", "y")), Section("b", ("z",), ("z",)))
    good = {"one": [["x", "y"], ["z"]]}
    with pytest.raises(MetricError, match="no system to study"):
        study_lengths(sections, {}, "de", comparisons=[])
    with pytest.raises(MetricError, match=r"one has \[2\] outputs in its sections, but \[2, 1\]"):
        study_lengths(sections, {"one": [["x", "y"]]}, "de")
    with pytest.raises(MetricError, match="No system is called 'two': choose from one"):
        study_lengths(sections, good, "de", comparisons=[("one", "two")])
    with pytest.raises(MetricError, match="bootstrap is 0: the intervals need at least 1"):
        study_lengths(sections, good, "de", bootstrap=0)


# The command line


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny translator and sentence pairs."""
    import torch

    from captioner import checkpoint
    from captioner.languages import Languages
    from captioner.nn.architecture import TranslationConfig
    from captioner.nn.model import build_translation_model
    from captioner.options import SearchOptions
    from captioner.settings import from_dict
    from captioner.subwords import Subwords

    folder = tmp_path_factory.mktemp("study")
    english = ["a dog runs in the snow .", "a cat sleeps .", "the man and a dog ."] * 5
    german = ["ein hund läuft im schnee .", "eine katze schläft .", "der mann und ein hund ."] * 5
    (folder / "val.en").write_text("\n".join(english) + "\n", encoding="utf-8")
    (folder / "val.de").write_text("\n".join(german) + "\n", encoding="utf-8")
    subwords = Subwords.train(english + german, 97, ["de", "en"], byte_fallback=False)
    config = from_dict(
        TranslationConfig,
        {
            "encoder": {"hidden_size": 7},
            "attention": {"size": 11},
            "decoder": {"hidden_size": 14, "embedding_size": 14},
        },
    )
    read = {"en": [subwords.encode(x).ids for x in english], "de": []}
    languages = Languages.count([("en", "de")], read, len(subwords))
    torch.manual_seed(3)
    model = build_translation_model(config, len(subwords)).eval()
    options = SearchOptions(beam_size=1, max_length=13)
    tiny = checkpoint.TranslationCheckpoint(model, config, subwords, languages, search=options)
    checkpoint.save(tiny, folder / "tiny.safetensors")
    return folder


def typed(folder: Path, *more: str) -> list[str]:
    files = ["--source", str(folder / "val.en"), "--target", str(folder / "val.de")]
    return [*files, "--from", "en", "--to", "de", "--device", "cpu", *more]


def test_length_study_from_the_command_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tiny / "tiny.safetensors"
    command = ["study", "length", f"one={weights}", f"the other={weights}"]
    command += typed(tiny, "--output", str(tmp_path / "out"), "--bootstrap", "7", "--limit", "13")
    assert cli.main(command) == 0
    shown = capsys.readouterr().out
    assert "| words in the source | sentences | mean | one | the other |" in shown
    text = (tmp_path / "out" / "length.md").read_text(encoding="utf-8")
    assert f"- one: {weights}\n  - bleu 0." in text
    assert "\n  - sacrebleu 0." in text
    assert " | N 13 | bootstrap 7, seed 0 | greedy)" in text
    assert "```\ncaptioner study length one=" in text
    assert "'the other=" in text  # quoted, so that it can be typed again
    assert (tmp_path / "out" / "length.png").stat().st_size > 1000
    lines = (tmp_path / "out" / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 13 + 6 + 4
    first = json.loads(lines[0])
    assert set(first) == {"section", "source", "reference", "outputs"}
    assert first["outputs"]["one"] == first["outputs"]["the other"]
    values = json.loads((tmp_path / "out" / "length.json").read_text(encoding="utf-8"))
    assert values["comparisons"] == [["one", "the other"]]


def test_alignment_study_from_the_command_line(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    support = ["--support", str(tiny / "val.en"), str(tiny / "val.de"), "--support-pairs", "5"]
    command = ["study", "alignment", "--checkpoint", str(tiny / "tiny.safetensors"), *support]
    assert cli.main([*command, *typed(tiny, "--iterations", "1", "--bootstrap", "7")]) == 0
    shown = capsys.readouterr().out
    assert "| attention |" in shown
    assert "| row t -1, same words |" in shown
    assert "On the end of the source: " in shown
    assert "1 iterations over 15 pairs and 5 in support" in shown


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        (["tiny.safetensors"], "'tiny.safetensors' names no system; expected NAME=CHECKPOINT"),
        (["a=x", "a=y"], "'a=y' names no system; expected NAME=CHECKPOINT, each name once"),
        (["a=x", "b=y", "--compare", "a=c"], "--compare 'a=c' names no two systems; expected"),
        (["a=x", "--bootstrap", "0"], "--bootstrap is 0; the intervals need at least 1"),
        (["a=x", "--limit", "0"], "--limit is 0; expected 1 pair or more"),
    ],
)
def test_wrong_use_is_one_line(
    tiny: Path, capsys: pytest.CaptureFixture[str], systems: list[str], message: str
) -> None:
    assert cli.main(["study", "length", *systems, *typed(tiny)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"captioner: {message}")
    assert told.count("\n") == 1
