"""A translator that is given a photo with every text, and one that has no eyes for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.cli import main
from captioner.errors import CheckpointError, ConfigError, ImageError
from captioner.multimodal.evaluation import MultimodalEvaluation, shown
from captioner.multimodal.pairs import SeenPair
from captioner.translations.checkpoint import TranslationCheckpoint
from captioner.translations.translator import Translator


@pytest.fixture(scope="module")
def seeing(seen_weights: Path) -> Translator:
    return Translator.load(seen_weights)


def test_words_say_how_much_they_looked_at_the_photo(seeing: Translator, seen_world: Path) -> None:
    """The shares of words, end and photo are all there is; the map is a distribution."""
    found = seeing("A ball.", to="de", photo=seen_world / "red.png")
    assert found.text == "Ein roter Ball."
    assert found.seen is not None
    count = len(found.words)
    assert found.seen.shares.shape == (count,)
    assert found.seen.maps.shape == (count, 2, 2)
    np.testing.assert_allclose(found.seen.maps.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(found.alignment.sum(1), 1, rtol=1e-5)
    assert bool((found.seen.shares > 0).all())
    assert bool((found.seen.shares + found.end_mass < 1).all())
    assert found.sheet().size > (0, 0)
    written = found.to_dict()["seen"]
    assert written["photo"] == str(seen_world / "red.png")
    assert written["grid"] == [2, 2]
    assert len(written["shares"]) == len(written["maps"]) == count


def test_a_photo_is_seen_once_and_asked_often(seeing: Translator, seen_world: Path) -> None:
    sight = seeing.look(seen_world / "blue.png")
    assert repr(sight).endswith("blue.png', 2×2 cells>")
    texts = ["A ball.", "A cup. A dog.", "", "* * *"]
    found = list(seeing.stream(texts, to="de", source_language="en", photos=sight))
    assert [one.text for one in found[:3]] == [
        "Ein blauer Ball.",
        "Ein blauer Krug. Ein blauer Hund.",
        "",
    ]
    joined = found[1].seen
    assert joined is not None
    assert len(joined.shares) == len(joined.maps) == len(found[1].words)
    assert found[3].seen is None  # nothing was looked at
    endless = seeing.stream(iter(texts), to="de", source_language="en", photos=sight)
    assert [one.text for one in endless] == [one.text for one in found]


def test_explaining_and_tracing_agree_with_the_search(seeing: Translator, seen_world: Path) -> None:
    photo = Image.open(seen_world / "red.png")
    found = seeing("A cup.", to="de", source_language="en", photo=photo)
    again = seeing.explain("A cup.", found.text, to="de", source_language="en", photo=photo)
    assert found.seen is not None
    assert again.seen is not None
    np.testing.assert_allclose(again.seen.shares, found.seen.shares, atol=1e-5)
    assert again.log_prob == pytest.approx(found.log_prob, abs=1e-3)
    other = seeing.explain(
        "A cup.", found.text, to="de", source_language="en", photo=seen_world / "blue.png"
    )
    assert other.log_prob < found.log_prob - 1  # "roter", and the photo is blue
    reading = seeing.trace(found)
    assert reading.grid == (2, 2)
    positions = len(reading.source) + 1 + 4  # pieces, end, cells
    assert reading.trace.weights.shape == (len(reading.words) + 1, 1, positions)
    np.testing.assert_allclose(reading.trace.weights.sum(-1), 1, atol=1e-5)


def test_what_does_not_fit_is_refused(
    seeing: Translator, tiny_translator: Translator, seen_world: Path
) -> None:
    photo = seen_world / "red.png"
    with pytest.raises(ConfigError, match=r"^there is a photo, but this model has no eyes: it tra"):
        tiny_translator("A dog.", to="de", photo=photo)
    with pytest.raises(ConfigError, match="no eyes"):
        tiny_translator.look(photo)
    with pytest.raises(ConfigError, match=r"^this model translates with a photo in view, and the"):
        seeing("A dog.", to="de")
    with pytest.raises(ConfigError, match="with a photo in view"):
        seeing.explain("A dog.", "Ein Hund.", to="de")
    with pytest.raises(ConfigError, match=r"the photos are 'red\.png'; expected one for each text"):
        list(seeing.stream(["A dog."], to="de", photos="red.png"))
    for texts, photos, message in (
        (["A dog."], [photo, photo], "there are 1 texts and more photos; expected a photo for"),
        (["A dog.", "A cat."], [photo], "there are 1 photos and more texts"),
    ):
        with pytest.raises(ConfigError, match=message):
            list(seeing.stream(texts, to="de", photos=photos))
        with pytest.raises(ConfigError, match=message):
            list(seeing.stream(iter(texts), to="de", photos=iter(photos)))
    with pytest.raises(ConfigError, match="no photo was in view of this translation"):
        tiny_translator("A dog.", to="de").sheet()


def test_one_bad_photo_does_not_stop_the_others(seeing: Translator, seen_world: Path) -> None:
    gone, photo = seen_world / "gone.png", seen_world / "red.png"
    texts = ["A ball."] * 3
    options: dict[str, Any] = {"to": "de", "source_language": "en"}
    found = list(seeing.stream(texts, photos=[photo, gone, None], **options))
    assert found[0].text == "Ein roter Ball."
    assert found[1].error is not None
    assert "gone.png" in found[1].error
    assert (found[2].error, found[2].seen) == (None, None)
    [alone] = seeing.stream(texts[:1], photos=[None], **options)  # and no batch changes another
    assert alone.log_prob == pytest.approx(found[2].log_prob, abs=1e-4)
    with pytest.raises(ConfigError, match=r"gone\.png"):
        seeing("A ball.", to="de", photo=gone)
    with pytest.raises(ImageError, match=r"gone\.png"):
        seeing.look(gone)


def test_a_file_of_one_task_is_none_of_another(
    seen_weights: Path, weights: str, seeing: Translator
) -> None:
    with pytest.raises(CheckpointError, match="for 'multimodal'; expected one for 'translate'"):
        TranslationCheckpoint.load(seen_weights)
    message = "for 'caption'; expected one for 'translate' or 'multimodal'"
    with pytest.raises(CheckpointError, match=message):
        Translator.load(weights)


def test_no_sentence_is_shown_its_own_photo_as_a_wrong_one(seeing: Translator) -> None:
    for count in (2, 3, 7):
        pairs = [SeenPair("A.", "B.", "en", "de", Path(f"{n}.png")) for n in range(count)] * 2
        wrong = shown(pairs, "wrong")
        assert sorted(wrong.values(), key=str) == sorted(wrong, key=str)
        assert all(own != other for own, other in wrong.items())
    with pytest.raises(ConfigError, match="there is one photo alone"):
        shown(pairs[:1], "wrong")
    with pytest.raises(ConfigError, match="view is 'other'; expected one of own, wrong, none"):
        MultimodalEvaluation(seeing, pairs, view="other")


# ---- the command line ----------------------------------------------------------------------------


def test_commands(
    seen_world: Path,
    seen_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["--checkpoint", str(seen_weights), "--device", "cpu"]
    photo, sheet = str(seen_world / "red.png"), tmp_path / "sheet.png"
    typed = ["translate", "--to", "de", "--from", "en", *own]
    assert main([*typed, "--photo", photo, "--sheet", str(sheet), "A dog."]) == 0
    assert capsys.readouterr().out == "Ein roter Hund.\n"
    assert Image.open(sheet).width > 100
    assert main([*typed, "A dog."]) == 2
    assert (
        "with a photo in view, and there is none; name it (--photo PHOTO" in capsys.readouterr().err
    )
    assert main([*typed, "--sheet", str(sheet), "A dog."]) == 2
    assert "--sheet shows where words looked on a photo; name it with" in capsys.readouterr().err
    assert main([*typed, "--photo", photo, "--sheet", photo, "--overwrite", "A dog."]) == 2
    assert Image.open(photo).size == (40, 30)  # what is read is never written
    capsys.readouterr()
    files = ["--source", str(seen_world / "val.en"), "--target", str(seen_world / "val.de")]
    names = ["--photo-names", str(seen_world / "val.images.txt")]
    files = ["evaluate", *files, "--from", "en", "--to", "de", *names, "--bootstrap", "0", *own]
    scores = {}
    for view in ("own", "wrong", "none"):
        made = [*files, "--photo-folder", str(seen_world), "--photos", view, "--json", "-"]
        assert main(made) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["photos"] == view
        scores[view] = record["scores"]["chrf"]["value"]
    assert scores["own"] == pytest.approx(1)
    assert max(scores["wrong"], scores["none"]) < 0.9
    blind = [text for text in files if text not in names]
    assert main(blind) == 2
    told = "translates with a photo in view; name the photos of the pairs: --photo-names FILE, a ph"
    assert told in capsys.readouterr().err
    assert main(files) == 2
    assert (
        "take --photo-names FILE, a photo's name a line, and --photo-f" in capsys.readouterr().err
    )
    assert main(["describe", str(seen_weights)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "task sentence and photo to translation" in told
    assert "photos resnet18, stride 16: 32 × 32 pixels become 2 × 2 cells of 32 features" in told
    assert "hierarchical: one look at the sentence, one at the photo, and a third that we" in told
    assert "60 sentence pairs about 2 photos" in told
