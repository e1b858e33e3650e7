from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner import meteor as program
from captioner import metrics
from captioner.errors import MetricError
from captioner.metrics import CiderScorer, bleu, cider, meteor, rouge_l, score
from captioner.text import tokenise

PHOTOS = [
    ["A brown dog runs through the tall grass.", "The dog is running in a field .", "a dog plays"],
    ["Two children play football on the beach.", "Kids kick a ball in the sand.", "A beach game"],
    ["A man in a red T-shirt rides a bike.", "The man's bike is blue.", "A cyclist on a road"],
    ["A woman isn't wearing a hat.", "A woman with long hair smiles.", "Smiling woman, no hat"],
    ["Three people sit at a table.", "People eating dinner together.", "A family has dinner"],
    ["A black cat sleeps on the sofa.", "The cat is asleep on a couch.", "A cat naps indoors"],
    ["A boy jumps into the pool.", "The boy is diving into water.", "A child leaps into a pool"],
]
HUMANS = [captions[0] for captions in PHOTOS]
OTHERS = [captions[1:] for captions in PHOTOS]
WORDS = np.array(["a", "the", "dog", "man", "runs", "red", "on", "in", "grass", "ball", "'s"])
CHANCES = 1 / np.arange(1, len(WORDS) + 1)  # Zipf

needs_java = pytest.mark.skipif(
    shutil.which("java") is None or program.find_wrapper() is None,
    reason="METEOR 1.5 needs a Java runtime and pycocoevalcap",
)


def split(captions: list[str]) -> list[list[str]]:
    return [tokenise(caption) for caption in captions]


def drawn() -> tuple[list[list[str]], list[list[list[str]]]]:
    return split(HUMANS), [split(captions) for captions in OTHERS]


def random_set(
    seed: int, photos: int = 31, references: int = 5
) -> tuple[list[list[str]], list[list[list[str]]]]:
    rng = np.random.default_rng(seed)

    def sentence(fewest: int = 1) -> list[str]:
        return rng.choice(WORDS, size=rng.integers(fewest, 14), p=CHANCES / CHANCES.sum()).tolist()

    return (
        [sentence(fewest=0) for _ in range(photos)],
        [[sentence() for _ in range(rng.integers(1, references + 1))] for _ in range(photos)],
    )


def as_coco(
    candidates: list[list[str]], references: list[list[list[str]]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    wanted = {i: [" ".join(words) for words in captions] for i, captions in enumerate(references)}
    return wanted, {i: [" ".join(words)] for i, words in enumerate(candidates)}


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog runs.", "a dog runs"),
        ("The man's T-shirt isn't red .", "the man 's t-shirt is n't red"),
        ("a man 's dog does n't bark", "a man 's dog does n't bark"),
        ("It’s the boys' ball", "it 's the boys ball"),
        (
            "don't can't won't I'll we've they'd I'm",
            "do n't ca n't wo n't i 'll we 've they 'd i 'm",
        ),
        ("They shouldn't've; they cannot", "they should n't 've they can not"),
        ("a half-eaten apple -- a black/white dog", "a half-eaten apple a black/white dog"),
        ('"Quoted", (bracketed) & [more]: done!', "quoted bracketed more done"),
        ("a man,a woman", "a man a woman"),
        ("1,000 runners at 3:30", "1,000 runners at 3:30"),
        ("Men...and women", "men and women"),
        ("Cafe\u0301 CRÈME", "café crème"),
        ("rock'n'roll at 5 o'clock", "rock'n'roll at 5 o'clock"),
        ("snake_case", "snake case"),
        ("0’N’T", "0'n't"),
        (" \t\n", ""),
        ("?!", ""),
    ],
)
def test_tokenise(caption: str, words: str) -> None:
    assert tokenise(caption) == words.split()


@given(st.text() | st.text(alphabet="nNt's-'’., canodv1_"))
def test_tokenise_gives_clean_words_and_is_stable(caption: str) -> None:
    words = tokenise(caption)
    assert all(word and not any(mark.isspace() for mark in word) for word in words)
    assert all(word == word.lower() for word in words)
    assert tokenise(" ".join(words)) == words


@pytest.mark.parametrize(
    ("candidate", "references", "order", "expected"),
    [
        ("the the the the the the the", ["the cat is on the mat"], 1, 2 / 7),  # Papineni et al.
        ("a b", ["a b c d"], 1, math.exp(1 - 4 / 2)),
        ("a b c d", ["a b c d e", "a b c"], 4, 1.0),  # ties go to the shorter: no penalty
        ("a b c d", ["a b x d"], 2, math.sqrt(3 / 4 * 1 / 3)),
        ("a b c", ["a b c"], 4, 0.0),  # no 4-gram at all
        ("", ["a"], 1, 0.0),
        ("x", ["a"], 1, 0.0),
    ],
)
def test_bleu_by_hand(candidate: str, references: list[str], order: int, expected: float) -> None:
    values, counts = bleu([candidate.split()], [[r.split() for r in references]])
    assert values[order - 1] == pytest.approx(expected, abs=1e-12)
    assert counts.shape == (1, 9)


def test_bleu_is_of_the_corpus_and_not_a_mean() -> None:
    values, counts = bleu([["a", "b", "c"], ["x"]], [[["a", "b", "c"]], [["y"]]])
    assert values[0] == pytest.approx(3 / 4)
    assert counts.tolist() == [[3, 2, 1, 0, 3, 2, 1, 0, 3], [0, 0, 0, 0, 1, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("candidate", "references", "expected"),
    [
        ("police kill the gunman", ["police killed the gunman"], 3 / 4),  # Lin 2004, section 3
        ("a b", ["a b c d"], (1 + 1.44) * 1 * 0.5 / (0.5 + 1.44 * 1)),
        ("a x b y", ["a b", "p q r"], (1 + 1.44) * 0.5 * 1 / (1 + 1.44 * 0.5)),
        ("b a", ["a b"], 1 / 2),
        ("", ["a"], 0.0),
        ("a", [""], 0.0),
    ],
)
def test_rouge_l_by_hand(candidate: str, references: list[str], expected: float) -> None:
    value, values = rouge_l([candidate.split()], [[r.split() for r in references]])
    assert value == pytest.approx(expected)
    assert values.shape == (1,)


@given(st.lists(st.sampled_from("abcd"), max_size=11), st.lists(st.sampled_from("abcd")))
def test_common_length_equals_the_textbook_table(first: list[str], second: list[str]) -> None:
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, mine in enumerate(first):
        for j, theirs in enumerate(second):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if mine == theirs else max(table[i, j + 1], table[i + 1, j])
            )
    assert metrics.common_length(first, second) == table[-1, -1]


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        ("a b c d", 10.0),
        ("p q r s", 0.0),  # the other photo's words
        ("", 0.0),
        ("a b c d d d d d d d", None),
    ],
)
def test_cider_by_hand(candidate: str, expected: float | None) -> None:
    _, values = cider([candidate.split(), ["z"]], [[list("abcd")], [list("pqrs")]])
    if expected is None:
        assert 0 < values[0] < 10 * math.exp(-(6**2) / 72)
    else:
        assert values[0] == pytest.approx(expected)


def test_cider_of_a_single_word() -> None:
    _, values = cider([["a"], ["z"]], [[["a", "b"]], [["p", "q"]]])
    assert values[0] == pytest.approx(10 * (1 / math.sqrt(2)) / 4 * math.exp(-1 / 72))


def test_cider_of_one_photo_is_zero() -> None:
    assert cider([["a", "dog"]], [[["a", "dog"]]])[0] == 0.0


def test_the_cider_of_one_photo_says_that_it_says_nothing() -> None:
    one = score(["a dog runs"], [["a dog runs", "a dog"]], bootstrap=5)
    assert one["cider"].value == 0
    note = "CIDEr-D | of one photo always 0, as each of its words is in all photos: says nothing | "
    assert one["cider"].recipe.startswith(note)
    assert note in str(one["cider"])
    assert one["cider"].to_dict()["recipe"].startswith(note)
    assert "of one photo" not in one["rouge_l"].recipe
    two = score(["a dog runs", "a cat"], [["a dog runs"], ["a cat"]], bootstrap=5)
    assert two["cider"].value > 0
    assert "of one photo" not in two["cider"].recipe


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_pycocoevalcap(seed: int) -> None:
    pytest.importorskip("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    candidates, references = random_set(seed) if seed else drawn()
    wanted, said = as_coco(candidates, references)
    value, values = cider(candidates, references)
    coco_value, coco_values = Cider().compute_score(wanted, said)
    assert value == pytest.approx(coco_value, abs=1e-9)
    np.testing.assert_allclose(values, coco_values, atol=1e-9)
    value, values = rouge_l(candidates, references)
    coco_value, coco_values = Rouge().compute_score(wanted, said)
    assert value == pytest.approx(coco_value, abs=1e-9)
    np.testing.assert_allclose(values, coco_values, atol=1e-9)
    coco_bleu, _ = Bleu(4).compute_score(wanted, said, verbose=0)
    np.testing.assert_allclose(bleu(candidates, references)[0], coco_bleu, atol=2e-4)


def test_cider_scorer_scores_any_number_of_captions_of_a_photo() -> None:
    candidates, references = random_set(7)
    scorer = CiderScorer(references)
    owners = [3, 0, 3, 17]
    _, values = cider(candidates, references)
    found = scorer.score([candidates[owner] for owner in owners], owners)
    np.testing.assert_allclose(found, values[owners])
    assert scorer.score([], []).shape == (0,)
    with pytest.raises(MetricError, match=r"2 captions came with 1 owners"):
        scorer.score([["a"], ["b"]], [0])
    with pytest.raises(MetricError, match=r"not one of the 31 photos"):
        scorer.score([["a"]], [-1])


@pytest.mark.parametrize("measure", [cider, rouge_l, bleu])
def test_order_and_repetition_do_not_matter(measure) -> None:
    _, references = random_set(11)
    # Doubling the photos makes an n-gram that no reference has relatively rarer: take known ones.
    candidates = [references[i - 1][0] for i in range(len(references))]
    whole = measure(candidates, references)[0]
    order = np.random.default_rng(0).permutation(len(candidates))
    np.testing.assert_allclose(
        measure([candidates[i] for i in order], [references[i] for i in order])[0], whole
    )
    np.testing.assert_allclose(measure(candidates, [r[::-1] for r in references])[0], whole)
    np.testing.assert_allclose(measure(candidates * 2, references * 2)[0], whole)


def test_score_gives_every_number_with_its_recipe() -> None:
    scores = score(HUMANS, OTHERS, seed=5, decoding="beam 3, length penalty 0.7")
    assert list(scores) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    assert scores["cider"].recipe == (
        "CIDEr-D | tokens: lower-cased, punctuation stripped | 2 references a photo | N 7 | "
        "bootstrap 1000, seed 5 | beam 3, length penalty 0.7"
    )
    counts = bleu(*drawn())[1]
    ratio = counts[:, 4].sum() / counts[:, 8].sum()
    assert scores["bleu_4"].recipe.startswith(f"BLEU-4, corpus | length ratio {ratio:.3f} | ")
    assert scores["cider"].value == cider(*drawn())[0]
    assert scores["rouge_l"].value == pytest.approx(rouge_l(*drawn())[0])
    np.testing.assert_allclose([scores[f"bleu_{n}"].value for n in (1, 2, 3, 4)], bleu(*drawn())[0])


def test_score_shows_itself_and_becomes_json() -> None:
    one = score(HUMANS, OTHERS, names=["rouge_l"])["rouge_l"]
    low, high = one.interval
    assert str(one) == f"rouge_l {one.value:.4f} [{low:.4f}, {high:.4f}] ({one.recipe})"
    assert json.loads(json.dumps(one.to_dict())) == {
        "name": "rouge_l",
        "value": one.value,
        "interval": [low, high],
        "recipe": one.recipe,
    }


def test_recipe_counts_references() -> None:
    def recipe(references: list[list[str]]) -> str:
        return score(["a", "b"], references, names=["cider"], bootstrap=0)["cider"].recipe

    assert "| 1 reference a photo | N 2 | no bootstrap" in recipe([["a"], ["b"]])
    assert "| 1 to 2 references a photo |" in recipe([["a"], ["b", "c"]])


def test_interval_holds_the_value_and_follows_the_seed() -> None:
    candidates, references = random_set(13, photos=61)
    captions = [" ".join(words) for words in candidates]
    written = [[" ".join(words) for words in sentences] for sentences in references]
    first = score(captions, written, seed=1)
    assert first == score(captions, written, seed=1)
    assert first["cider"].interval != score(captions, written, seed=2)["cider"].interval
    for one in first.values():
        low, high = one.interval
        assert low < one.value < high
    assert score(captions, written, bootstrap=0)["cider"].interval is None


def test_interval_of_equal_photos_is_a_point() -> None:
    for one in score(["a b c d e"] * 7, [["a b c d x"]] * 7, bootstrap=23).values():
        assert one.interval == pytest.approx((one.value, one.value))


def test_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    candidates, references = random_set(17, photos=211)
    values = rouge_l(candidates, references)[1]
    low, high = score(
        [" ".join(words) for words in candidates],
        [[" ".join(words) for words in sentences] for sentences in references],
        names=["rouge_l"],
        bootstrap=2000,
    )["rouge_l"].interval
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(211), rel=0.1)


def test_interval_of_bleu_equals_resampling_the_captions_themselves() -> None:
    candidates, references = random_set(19, photos=23, references=2)
    rng = np.random.default_rng(3)
    draws = [
        bleu([candidates[i] for i in drawing], [references[i] for i in drawing])[0][1]
        for drawing in rng.integers(0, 23, size=(500, 23))
    ]
    low, high = score(
        [" ".join(words) for words in candidates],
        [[" ".join(words) for words in sentences] for sentences in references],
        names=["bleu"],
    )["bleu_2"].interval
    width = high - low
    assert [low, high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.15 * width)


def test_resampling_in_several_portions_equals_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"cider": np.arange(7.0)[:, None], "rouge_l": np.ones((7, 2))}
    whole = metrics.resample_photos(found, 7, 11, seed=0)
    monkeypatch.setattr(metrics, "DRAWN_AT_A_TIME", 3 * 7)
    parts = metrics.resample_photos(found, 7, 11, seed=0)
    assert whole["cider"].shape == (11, 1)
    np.testing.assert_array_equal(whole["rouge_l"], np.full((11, 2), 7))
    np.testing.assert_array_equal(whole["cider"], parts["cider"])


def test_people_beat_one_caption_for_all() -> None:
    people = score(HUMANS, OTHERS)
    constant = score(["a man in a field"] * 7, OTHERS)
    assert people["cider"].value > 2 * constant["cider"].value
    assert people["rouge_l"].value > constant["rouge_l"].value


def test_empty_captions_score_nothing() -> None:
    for one in score([""] * 3, [["a dog"], ["two cats"], ["."]]).values():
        assert one.value == 0.0
        assert one.interval == (0.0, 0.0)


@pytest.mark.parametrize(
    ("candidates", "references", "options", "message"),
    [
        (["a"], [["a"], ["b"]], {}, "1 captions came with references for 2 photos: give one"),
        ([], [], {}, "There is no photo to score"),
        (["a", "b"], [["a"], []], {}, "Photo 1 has no reference caption"),
        (["a"], ["a dog"], {}, "The references of photo 0 are one string: give a list"),
        (["a"], [["a"]], {"names": ["spice"]}, "No score is called 'spice': choose from bleu, "),
        (["a"], [["a"]], {"bootstrap": -1}, "bootstrap is -1: it must be 0"),
    ],
)
def test_errors_say_what_came(candidates, references, options, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        score(candidates, references, **options)


@needs_java
def test_meteor_equals_what_pycocoevalcap_gave() -> None:
    candidates, references = drawn()
    candidates += [[], ["zebra"], references[0][1], ["a", "café", "|||", "terrace"]]
    references += [[["a", "dog"]], [["a", "dog"]], references[0], [["a", "café", "terrace"]]]
    value, statistics = meteor(candidates, references)
    each = program.values(statistics, len(statistics))[:, 0]
    # pycocoevalcap 1.2, meteor.Meteor().compute_score of the same words
    assert value == pytest.approx(0.268227, abs=1e-6)
    expected = [0.319453, 0.228816, 0.197256, 0.220183, 0.046512, 0.265963, 0.383692, 0, 0, 1, 1]
    np.testing.assert_allclose(each, expected, atol=1e-6)


def test_meteor_stands_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "6 6 3 3 2 2 2 2 0 0 0 0 0 0 0 0 1 0 0 1 4 5 5"  # of the program; METEOR 0.31115
    nothing = "1 1" + " 0" * 21
    monkeypatch.setattr(program, "run", lambda lines: [answer] * 5 + [nothing] * 2)
    scores = score(HUMANS, OTHERS, names=["meteor", "cider"])
    low, high = scores["meteor"].interval
    assert 0 < low < scores["meteor"].value < 0.31115 < high + 1e-5
    assert scores["meteor"].recipe.startswith("METEOR 1.5 | tokens: ")
    assert scores["cider"] == score(HUMANS, OTHERS, names=["cider"])["cider"]


def test_meteor_asks_one_line_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(lines: list[str]) -> list[str]:
        asked.extend(lines)
        return ["1 1" + " 0" * 21] * len(lines)

    monkeypatch.setattr(program, "run", run)
    meteor([["a", "|||", "dog\n"], []], [[["a", "b"], ["c"]], [["d"]]])
    assert asked == ["SCORE ||| a b ||| c ||| a dog", "SCORE ||| d ||| "]


def test_meteor_without_java_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sentence = (
        "METEOR 1.5 needs a Java runtime (`java` on the PATH) and the extra "
        "`captioner[scores]`; missing here: a Java runtime."
    )
    with pytest.raises(MetricError) as caught:
        meteor([["a"]], [[["a"]]])
    assert str(caught.value) == sentence
    scores = score(HUMANS, OTHERS, names=["meteor", "rouge_l"])
    assert math.isnan(scores["meteor"].value)
    assert scores["meteor"].recipe == sentence
    assert scores["meteor"].to_dict()["value"] is None
    assert scores["rouge_l"].value > 0
    assert math.isnan(score(HUMANS, OTHERS, names=["meteor"])["meteor"].value)


def test_meteor_without_its_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    monkeypatch.setattr(program.shutil, "which", lambda name: "java")
    with pytest.raises(MetricError, match=r"captioner\[scores\].*the package pycocoevalcap"):
        meteor([["a"]], [[["a"]]])


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Java is a shell script")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\necho no runtime present >&2\nexit 3\n", "code 3; Java said: no runtime"),
        ("#!/bin/sh\nexit 0\n", "answered 0 of 1 captions and ended with code 0"),
        ("not a program", "could not start"),
    ],
)
def test_meteor_with_a_broken_java_is_a_sentence(
    script: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "java"
    java.write_text(script)
    java.chmod(0o755)
    wrapper = tmp_path / "meteor.py"
    monkeypatch.setattr(program, "find_wrapper", lambda: wrapper)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MetricError, match=message):
        meteor([["a"]], [[["a"]]])


def test_scores_need_neither_torch_nor_the_oracle() -> None:
    code = (
        "import sys; from captioner.metrics import score; score(['a dog'], [['a dog']]); "
        "sys.exit(', '.join({'torch', 'pycocoevalcap'} & set(sys.modules)))"
    )
    root = Path(metrics.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stderr.strip() == ""


# Translations

GERMAN = [
    "Ein brauner Hund läuft durch den tiefen Schnee.",
    "Zwei kleine Kinder spielen am Strand Fußball.",
    "Der Hund des Mannes (groß!) frisst 3,5 Würste.",
    "Eine Frau mit Hut lächelt und winkt.",
    "„Drei Leute“ sitzen an einem Tisch und essen zu Abend.",
    "Es regnet.",
    "Eine schwarze Katze schläft auf dem roten Sofa.",
]
SAID = [
    "Ein brauner Hund rennt durch den Schnee.",
    "Zwei Kinder spielen Fußball am Strand.",
    "Der Hund des Mannes frisst 3,5 Würste.",
    "eine Frau mit Hut lächelt und winkt .",
    "Drei Leute sitzen an einem Tisch und essen.",
    "",
    "Eine schwarze Katze schläft auf dem Sofa.",
]
GERMAN_WORDS = ["der", "Der", "Hund", "hund,", "läuft.", "im", "Schnee!"]
words_of = st.lists(st.sampled_from(GERMAN_WORDS), max_size=9)


def test_a_translation_is_scored_in_three_ways_that_are_told_apart() -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("sacremoses")
    scores = metrics.score_translations(SAID, GERMAN, "de", seed=5, decoding="beam 5")
    assert list(scores) == ["bleu", "sacrebleu", "chrf"]
    recipes = {name: one.recipe for name, one in scores.items()}
    assert recipes["bleu"].startswith("BLEU-4, corpus | tokens: lower-cased, Moses (sacremoses ")
    assert ", de) | length ratio " in recipes["bleu"]
    assert "|case:mixed|eff:no|tok:13a|smooth:exp|version:" in recipes["sacrebleu"]
    assert "|case:mixed|eff:yes|nc:6|nw:0|space:no|version:" in recipes["chrf"]
    for one in scores.values():
        assert one.recipe.endswith(
            " | 1 reference a sentence | N 7 | bootstrap 1000, seed 5 | beam 5"
        )
        low, high = one.interval
        assert 0 <= low < one.value < high <= 1
    assert scores["bleu"].value != scores["sacrebleu"].value
    assert metrics.score_translations(SAID, GERMAN, "de", names=["chrf"], bootstrap=0)[
        "chrf"
    ].recipe.endswith("N 7 | no bootstrap")


def test_a_cased_score_sees_the_case_and_a_lower_cased_one_does_not() -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("sacremoses")
    scores = metrics.score_translations([x.lower() for x in GERMAN], GERMAN, "de", bootstrap=0)
    assert scores["bleu"].value == 1
    assert scores["sacrebleu"].value < 0.6  # a perfect output of a lower-cased system


@given(st.lists(st.tuples(words_of, words_of), min_size=1, max_size=5))
def test_what_intervals_are_made_of_is_what_sacrebleu_computes(
    pairs: list[tuple[list[str], list[str]]],
) -> None:
    pytest.importorskip("sacrebleu")
    said, wanted = ([" ".join(words) for words in side] for side in zip(*pairs, strict=True))
    for count in (metrics._sacrebleu, metrics._chrf):
        counted = count(said, list(zip(wanted, strict=True)), "de")
        assert counted.values(counted.statistics.sum(axis=0)) == pytest.approx(
            counted.value, abs=1e-9
        )


@given(
    st.lists(
        st.tuples(words_of, st.lists(words_of, min_size=1, max_size=3)), min_size=1, max_size=4
    )
)
@settings(max_examples=60)
def test_several_references_are_scored_as_sacrebleu_scores_them(
    pairs: list[tuple[list[str], list[list[str]]]],
) -> None:
    known = pytest.importorskip("sacrebleu.metrics")
    said = [" ".join(words) for words, _ in pairs]
    wanted = [[" ".join(words) for words in several] for _, several in pairs]
    most = max(map(len, wanted))
    streams = [[own[n] if n < len(own) else None for own in wanted] for n in range(most)]
    scores = metrics.score_translations(said, wanted, "de", names=("sacrebleu", "chrf"), seed=1)
    for name, metric in (("sacrebleu", known.BLEU()), ("chrf", known.CHRF())):
        expected = metric.corpus_score(said, streams).score / 100
        assert scores[name].value == pytest.approx(expected, abs=1e-9)
        assert str(metric.get_signature()) in scores[name].recipe
    for count in (metrics._sacrebleu, metrics._chrf):  # what intervals are made of
        counted = count(said, list(map(tuple, wanted)), "de")
        assert counted.values(counted.statistics.sum(axis=0)) == pytest.approx(counted.value)
    value, each = metrics.chrf(said, wanted)
    assert value == pytest.approx(scores["chrf"].value)
    alone = [
        known.CHRF().sentence_score(one, own).score / 100
        for one, own in zip(said, wanted, strict=True)
    ]
    assert each == pytest.approx(alone, abs=1e-9)


def test_any_of_several_references_will_do() -> None:
    pytest.importorskip("sacremoses")
    wanted = [["Ein Hund läuft schnell.", "Der Hund rennt schnell."], ["Eine Katze schläft jetzt."]]
    said = ["Der Hund rennt schnell.", "Eine Katze schläft jetzt."]
    scores = metrics.score_translations(said, wanted, "de", bootstrap=0)
    assert [one.value for one in scores.values()] == pytest.approx([1, 1, 1])
    for one in scores.values():
        assert "1 to 2 references a sentence | N 2" in one.recipe
    first = [own[0] for own in wanted]
    for name, one in metrics.score_translations(said, first, "de", bootstrap=0).items():
        assert one.value < 0.95, name


@given(st.lists(st.tuples(words_of, words_of), min_size=1, max_size=5))
def test_chrf_is_that_of_sacrebleu(pairs: list[tuple[list[str], list[str]]]) -> None:
    known = pytest.importorskip("sacrebleu.metrics").CHRF()
    said, wanted = ([" ".join(words) for words in side] for side in zip(*pairs, strict=True))
    value, each = metrics.chrf(said, wanted)
    assert value == pytest.approx(known.corpus_score(said, [wanted]).score / 100, abs=1e-9)
    expected = [
        known.sentence_score(*pair).score / 100 for pair in zip(said, zip(wanted), strict=True)
    ]
    assert each == pytest.approx(expected, abs=1e-9)


def test_gleu_by_hand() -> None:
    """Of 10 n-grams of the candidate and 14 of the reference, 7 match: a recall of 7 / 14."""
    candidate, reference = ["a", "dog", "runs", "fast"], ["a", "dog", "runs", "very", "fast"]
    found = metrics.gleu([candidate, reference, [1, 2]], [reference, candidate, [3, 4]])
    np.testing.assert_allclose(found, [7 / 14, 7 / 14, 0])
    assert metrics.gleu([candidate], [candidate]) == 1
    with pytest.raises(MetricError, match="1 sentences came with 2 references"):
        metrics.gleu([candidate], [candidate, reference])


def test_moses_tokens() -> None:
    pytest.importorskip("sacremoses")
    sentences = ["L'homme n'est pas là, M. Dupont.", "C’est « ça » !"]
    assert [" ".join(tokens) for tokens in metrics.tokenise_moses(sentences, "fr")] == [
        "l' homme n' est pas là , m. dupont .",
        'c\' est " ça " !',
    ]
    assert metrics.tokenise_moses(["It's <b> & 5 %"], "en") == [
        ["it", "'s", "<", "b", ">", "&", "5", "%"]
    ]


def test_resampling_is_paired() -> None:
    counts = bleu(*drawn())[1]
    first = metrics.resample(counts, 31, seed=2)
    assert first.shape == (31, 9)
    np.testing.assert_array_equal(first, metrics.resample(counts, 31, seed=2))
    both = metrics.resample(np.concatenate([counts, 2 * counts], axis=1), 31, seed=2)
    np.testing.assert_array_equal(both, np.concatenate([first, 2 * first], axis=1))
    assert metrics.summed_bleu(counts.sum(axis=0)) == pytest.approx(bleu(*drawn())[0][3])


@pytest.mark.parametrize(
    ("names", "package", "missing"),
    [
        (["bleu"], "sacremoses", "BLEU of Moses tokens"),
        (["sacrebleu", "chrf"], "sacrebleu", "sacre"),
    ],
)
def test_a_missing_package_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, names: list[str], package: str, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for one in metrics.score_translations(SAID, GERMAN, "de", names=names).values():
        assert math.isnan(one.value)
        assert one.recipe.startswith(missing)
        assert one.recipe.endswith(
            f"the package {package} is missing; pip install 'captioner[scores]'."
        )


@pytest.mark.parametrize(
    ("said", "wanted", "options", "message"),
    [
        (["a"], ["a", "b"], {}, "1 translations came with 2 references: give one reference"),
        ([], [], {}, "There is no sentence to score"),
        (["a"], [[3]], {}, "The references are no list of sentences"),
        (["a"], [None], {}, "The references are no list of sentences"),
        (["a", "b"], [["a"], []], {}, "Sentence 2 has no reference: give at least one"),
        ("a", ["a"], {}, "The candidates are no list of sentences"),
        (["a"], ["a"], {"names": ["ter"]}, "No score is called 'ter': choose from bleu, sacrebleu"),
        (["a"], ["a"], {"bootstrap": -1}, "bootstrap is -1: it must be 0"),
    ],
)
def test_wrong_translations_are_told(said, wanted, options, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        metrics.score_translations(said, wanted, "de", **options)
