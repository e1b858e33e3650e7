from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.checkpoint import Checkpoint
from captioner.confidence import (
    COPYING,
    RECOGNISING,
    SENTENCE,
    Confidence,
    Regression,
    available,
    evidence,
)
from captioner.errors import CheckpointError
from captioner.nn.architecture import ModelConfig
from captioner.nn.memory import Memory
from captioner.nn.model import build_model
from captioner.pictures.preprocess import Preprocess
from captioner.prediction import Caption, Captioner
from captioner.settings import from_dict
from captioner.text import Vocabulary
from captioner.translation import Translator
from captioner.words import Word, is_content
from tests.conftest import WORDS

CLASSES = 7
ALL = available(copies=True, recognises=True)


def confidence(**changes: Any) -> Confidence:
    made = Confidence(
        shows=Regression(0.5, {"mean_log_prob": 1.5}),
        names=Regression(-0.25, {"mean_log_prob": 0.5, "lowest_log_prob": 0.125}),
        threshold=0.25,
        ece=0.0625,
        photos=97,
        unsure_photos=0.03125,
        empties=24,
        unsure_empties=0.984375,
        fitted="val/captions.json; beam 3",
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def recognising() -> Checkpoint:
    """A tiny captioner whose encoder has a classifier, and which copies its words."""
    torch.manual_seed(11)
    config = from_dict(
        ModelConfig,
        {
            "encoder": {
                "image_size": 64, "feature_size": 24, "weights": "random", "classes": CLASSES
            },
            "attention": {"size": 24},
            "decoder": {"hidden_size": 24, "embedding_size": 24},
            "copy": {"things": 3, "size": 2},
        },
    )  # fmt: skip
    vocabulary = Vocabulary(WORDS)
    model = build_model(config, len(vocabulary)).eval()
    kinds = ("dog", "cat", "man", "log", "ball", "red ball", "dog")
    held = Checkpoint(model, config, vocabulary, Preprocess(64), kinds=kinds)
    held.complete()
    return held


def calibrated(checkpoint: Checkpoint, **changes: Any) -> Captioner:
    return Captioner(dataclasses.replace(checkpoint, confidence=confidence(**changes)))


# ---- evidence ------------------------------------------------------------------------------------


def test_evidence_is_what_the_words_say() -> None:
    words = (
        Word("the", 0.001, math.log(0.001), copy_share=0.0),
        Word("red", 0.25, math.log(0.25), copy_share=0.125),
        Word("dog", 0.5, math.log(0.5), copy_share=0.75),
    )
    found = evidence(words, -9.0, (-0.5, 1.25, 8.0))
    assert found == {
        "mean_log_prob": -2.25,  # three words and the end
        "lowest_log_prob": math.log(0.25),  # `the` names nothing
        "copy_share": 0.75,
        "kind_log_prob": -0.5,
        "kind_entropy": 1.25,
        "kind_energy": 8.0,
    }
    assert tuple(found) == ALL == SENTENCE + COPYING + RECOGNISING


@pytest.mark.parametrize("words", [(), (Word("the", 0.5, math.log(0.5)),)])
def test_a_caption_without_content_has_evidence_too(words: tuple[Word, ...]) -> None:
    mean = -1.0 / (len(words) + 1)
    assert evidence(words, -1.0) == {"mean_log_prob": mean, "lowest_log_prob": mean}


def test_a_caption_that_was_written_brings_its_evidence(
    recognising: Checkpoint, picture: Image.Image
) -> None:
    captioner = Captioner(recognising)
    captioner.model.encoder = Looking(captioner.model.encoder)  # type: ignore[assignment]
    photos = [picture, picture.rotate(180), Image.new("RGB", (40, 30))]
    first, unread, *others = captioner.stream([picture, "no.jpg", *photos[1:]])
    assert unread.evidence == {}
    captions = [first, *others]
    for photo, caption in zip(photos, captions, strict=True):
        found = caption.evidence
        assert tuple(found) == ALL
        log_probs = [word.log_prob for word in caption.words]
        assert found["mean_log_prob"] == pytest.approx(caption.log_prob / (len(log_probs) + 1))
        content = [w.log_prob for w in caption.words if is_content(w.text)]
        assert found["lowest_log_prob"] == min(content, default=found["mean_log_prob"])
        assert found["copy_share"] == max(word.copy_share or 0.0 for word in caption.words)
        logits = _logits(captioner, photo)
        probs = np.exp(logits) / np.exp(logits).sum()
        assert found["kind_log_prob"] == pytest.approx(np.log(probs.max()), abs=1e-4)
        assert found["kind_entropy"] == pytest.approx(-(probs * np.log(probs)).sum(), abs=1e-4)
        assert found["kind_energy"] == pytest.approx(np.log(np.exp(logits).sum()), abs=1e-4)
    assert len({caption.evidence["kind_energy"] for caption in captions}) == 3


class Looking(torch.nn.Module):
    """An encoder that sees something else on every photo, which one of random weights does not."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, photos: torch.Tensor) -> Memory:
        memory: Memory = self.encoder(photos)
        assert memory.kinds is not None
        return dataclasses.replace(memory, kinds=memory.kinds + 3 * photos[:, 0, 31, :CLASSES])


def _logits(captioner: Captioner, photo: Image.Image) -> np.ndarray:
    pixels = captioner.preprocess.pixels(photo).astype(np.float64) / 255
    mean, std = captioner.preprocess.mean, captioner.preprocess.std
    values = (pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    with torch.no_grad():
        memory = captioner.model.encoder(torch.from_numpy(values).float().unsqueeze(0))
    assert memory.kinds is not None
    return memory.kinds[0].double().numpy()  # type: ignore[no-any-return]


# ---- the number ----------------------------------------------------------------------------------


def test_confidence_is_the_product_of_two_logistic_regressions() -> None:
    found = {"mean_log_prob": -1.0, "lowest_log_prob": -2.0, "copy_share": 0.5}
    shows = 1 / (1 + math.exp(-(0.5 - 1.5)))
    names = 1 / (1 + math.exp(-(-0.25 - 0.5 - 0.25)))
    assert confidence().of(found) == pytest.approx(shows * names, rel=1e-12)


def test_no_evidence_is_too_extreme() -> None:
    steep = Regression(0.0, {"mean_log_prob": 1e9})
    assert steep.of({"mean_log_prob": -1e5}) == 0.0
    assert steep.of({"mean_log_prob": 1e5}) == 1.0


def test_a_caption_has_confidence_where_the_checkpoint_is_calibrated(
    tiny_checkpoint: Checkpoint, picture: Image.Image
) -> None:
    plain = Captioner(tiny_checkpoint)(picture)
    assert (plain.confidence, plain.unsure) == (None, False)
    assert not plain.to_dict().keys() & {"confidence", "unsure"}
    chance = confidence().of(plain.evidence)
    for threshold, unsure in ((chance, False), (math.nextafter(chance, 1), True)):
        caption = calibrated(tiny_checkpoint, threshold=threshold)(picture)
        assert (caption.text, caption.confidence, caption.unsure) == (plain.text, chance, unsure)
        values = json.loads(json.dumps(caption.to_dict()))
        assert values["confidence"] == pytest.approx(chance, rel=1e-3)
        assert values["unsure"] is unsure
        assert list(values)[-1] == "error"


def test_of_several_captions_the_best_has_it(
    tiny_checkpoint: Checkpoint, picture: Image.Image
) -> None:
    best = calibrated(tiny_checkpoint)(picture, n_best=3)
    assert best.confidence is not None
    assert [other.confidence for other in best.n_best] == [None, None]


def test_a_sentence_of_yours_has_none(tiny_checkpoint: Checkpoint, picture: Image.Image) -> None:
    explained = calibrated(tiny_checkpoint, threshold=1.0).explain(picture, "A dog runs.")
    assert (explained.confidence, explained.unsure) == (None, False)
    assert "unsure" not in explained.to_dict()


def test_a_photo_that_cannot_be_read_has_none(tiny_checkpoint: Checkpoint) -> None:
    captions = list(calibrated(tiny_checkpoint, threshold=1.0).stream(["no.jpg", "none.jpg"]))
    assert [(c.confidence, c.unsure) for c in captions] == [(None, False)] * 2


def test_a_translation_is_as_sure_as_what_it_translates(
    tiny_checkpoint: Checkpoint, tiny_translator: Translator, picture: Image.Image
) -> None:
    known = dataclasses.replace(tiny_checkpoint, confidence=confidence(threshold=1.0))
    german = Captioner(known, translator=tiny_translator)(picture, to="de")
    assert german.original is not None
    assert german.confidence == german.original.confidence == confidence().of(german.evidence)
    assert german.unsure
    assert german.to_dict()["unsure"] is german.to_dict()["original"]["unsure"] is True


def test_the_sheet_of_an_unsure_caption_says_so(
    tiny_checkpoint: Checkpoint, picture: Image.Image
) -> None:
    titles: list[str] = []
    caption: Caption
    for threshold in (0.0, 1.0):
        caption = calibrated(tiny_checkpoint, threshold=threshold)(picture)
        titles.append(caption.drawing().title)
    assert titles == [caption.text, f"{caption.text} (unsure)"]


# ---- the header ----------------------------------------------------------------------------------


def test_it_comes_back_from_plain_json() -> None:
    values = json.loads(json.dumps(confidence().to_dict()))
    assert Confidence.from_dict(values, SENTENCE) == confidence()


def _put(*way: str) -> Callable[[dict[str, Any], Any], None]:
    def change(values: dict[str, Any], value: Any) -> None:
        *path, last = way
        for step in path:
            values = values[step]
        values[last] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("threshold",), math.nan, "threshold is nan; expected a number from 0 to 1"),
        (("threshold",), -0.1, "threshold is -0.1; expected a number from 0 to 1"),
        (("ece",), math.inf, "ece is inf; expected a number from 0 to 1"),
        (("ece",), "0.1", "ece is '0.1'; expected a number"),
        (("ece",), True, "ece is True; expected a number"),
        (("photos",), -1, "photos are -1; expected a count"),
        (("photos",), 9.5, "photos are 9.5; expected a count"),
        (("empties",), 10**400, "empties are 1000.*; expected a count"),
        (("fitted",), "\x1b[2J", r"fitted on '\\x1b\[2J'; expected a text"),
        (("fitted",), None, "fitted on None; expected a text"),
        (("shows",), [], r"confidence's shows is \[\]; expected a table of bias, weights"),
        (("shows", "bias"), -math.inf, "bias is -inf; expected a number from -1e"),
        (("shows", "bias"), 10**400, "bias is 1000.*; expected a number from"),
        (("names", "weights"), {"mean_log_prob": math.nan}, "mean_log_prob is nan; expected a"),
        (("names", "weights"), {"mean_log_prob": 1e10}, "mean_log_prob is 10000000000.0; exp"),
        (("names", "weights"), {"kind_entropy": 1.0}, "this model's captions have mean_log_prob"),
        (("names", "weights"), [1.0], r"weighs \[1.0\]"),
        (("more",), 1, "expected a table of shows, names, threshold"),
    ],
)
def test_a_header_that_says_something_else_is_refused(
    place: tuple[str, ...], value: Any, message: str
) -> None:
    values = json.loads(json.dumps(confidence().to_dict()))
    _put(*place)(values, value)
    with pytest.raises(CheckpointError, match=message) as caught:
        Confidence.from_dict(values, SENTENCE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("values", [None, [], "sure", 0.5, {}, {"shows": {}}])
def test_a_header_without_its_fields_is_refused(values: Any) -> None:
    with pytest.raises(CheckpointError, match=r"the confidence is .*; expected a table of shows, "):
        Confidence.from_dict(values, SENTENCE)
