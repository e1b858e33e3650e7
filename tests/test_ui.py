from __future__ import annotations

import ast
import base64
import dataclasses
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.cli import main
from captioner.confidence import Confidence, Regression
from captioner.errors import CaptionerError, ConfigError, ImageError
from captioner.languages import Languages
from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import build_translation_model
from captioner.options import SearchOptions
from captioner.pictures.scale import shared_peak, spread
from captioner.prediction import Captioner
from captioner.settings import from_dict
from captioner.subwords import Subwords
from captioner.translation import Translator
from captioner.ui import assets, batches, messages, pictures, server, uploads, values
from captioner.ui.desk import Desk, Written, options_of
from captioner.ui.painting import Painting, mean_colour
from captioner.ui.values import view
from tests.processes import hear_signals

UI = Path(__file__).parent.parent / "ui"
CONTROLS = (
    *("beam_size", "n_best", "compare", "max_length"),
    *("sample", "top_p", "temperature", "seed"),
)
VIEWERS = ("viewer", "steps", "pairs", "table", "progress", "strip")


@pytest.fixture(scope="module")
def desk(tiny_checkpoint: Checkpoint) -> Desk:
    return Desk(Captioner(tiny_checkpoint))


@pytest.fixture
def photo(picture: Image.Image, tmp_path: Path) -> str:
    path = tmp_path / "a dog.png"
    picture.save(path)
    return str(path)


@pytest.fixture(scope="module")
def bilingual(tiny_checkpoint: Checkpoint) -> Desk:
    """With a translator that knows its way around a few words, and has random weights."""
    english = ["A dog runs over the log.", "A man jumps over the red ball."]
    german = ["Ein Hund läuft über den Stamm.", "Ein Mann springt über den roten Ball."]
    subwords = Subwords.train(english + german, 97, ["en", "de"], byte_fallback=False)
    torch.manual_seed(7)
    config = from_dict(
        TranslationConfig,
        {
            "encoder": {"hidden_size": 7, "tie_embeddings": False},
            "decoder": {"hidden_size": 14, "embedding_size": 14},
        },
    )
    model = build_translation_model(config, len(subwords)).eval()
    counted = {"en": [subwords.encode(t).ids for t in english], "de": []}
    languages = Languages.count([("en", "de")], counted, len(subwords))
    checkpoint = TranslationCheckpoint(model, config, subwords, languages)
    return Desk(Captioner(tiny_checkpoint, translator=Translator(checkpoint)))


def _decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


def _jpeg(value: dict[str, Any]) -> Image.Image:
    head, _, data = value["photo"].partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


# What a viewer gets


def test_a_view_is_plain_json_and_holds_the_photo_and_the_maps(desk: Desk, photo: str) -> None:
    caption = desk.captioner(photo)
    value = view(caption)
    assert json.loads(json.dumps(value)) == value
    assert value["caption"] == caption.text
    close_up = dataclasses.replace(caption, text="A close up of a cat.")
    assert view(close_up)["alt"] == "A cat."
    assert view(dataclasses.replace(close_up, original=caption))["alt"] == "A close up of a cat."
    assert [word["text"] for word in value["words"]] == [word.text for word in caption.words]
    assert value["size"] == [97, 53] == list(_jpeg(value).size)
    assert value["grid"] == list(caption.maps.shape[1:])
    peak = shared_peak(caption.maps)
    expected = np.minimum(caption.maps / peak, 1) * 255
    levels = _decoded(value["maps"]).reshape(caption.maps.shape)
    assert np.abs(levels - expected).max() <= 0.5001
    np.testing.assert_allclose(value["spread"], spread(caption.maps), atol=1e-4)


def test_a_view_tells_how_sure_the_caption_is(tiny_checkpoint: Checkpoint, photo: str) -> None:
    never = Regression(-3.0, {})
    doubt = Confidence(never, never, 0.5, 0.0, 9, 0.0, 9, 1.0, "for tests")
    doubtful = Desk(Captioner(dataclasses.replace(tiny_checkpoint, confidence=doubt)))
    for beams in (3, 1):
        options = doubtful.captioner.options(beam_size=beams)
        *_, (value, written) = doubtful.write(photo, options=options)
        said = written.caption()
        assert value["confidence"] == pytest.approx(said.confidence, rel=1e-3)
        assert value["unsure"] is said.unsure is True
    value, _ = doubtful.explain(photo, "A dog.")
    assert not value.keys() & {"confidence", "unsure"}
    *_, last = batches.caption_many(doubtful.captioner, [photo])
    assert [row.unsure for row in last.rows] == [True]


def test_a_view_without_calibration_tells_nothing_of_it(desk: Desk, photo: str) -> None:
    *_, (value, _) = desk.write(photo)
    assert not value.keys() & {"confidence", "unsure"}


def test_a_large_photo_is_sent_small_and_without_its_own_data(tmp_path: Path) -> None:
    large = Image.new("RGB", (2203, 701), "orange")
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    large.save(tmp_path / "large.jpg", exif=exif)
    value = values.blank(Image.open(tmp_path / "large.jpg"))
    small = _jpeg(value)
    assert small.size == (1024, 326) == tuple(value["size"])
    assert not small.getexif()
    assert b"where I live" not in base64.b64decode(value["photo"].partition(",")[2])


def test_all_cards_share_one_scale(desk: Desk, photo: str) -> None:
    ((value, written),) = desk.write(
        photo, compare=True, options=desk.captioner.options(beam_size=3, n_best=3)
    )
    caption = written.caption()
    assert [one.text for one in written.captions] == [one["caption"] for one in value["choices"]]
    assert [card["title"] for card in value["choices"]] == ["beam 3", "2", "3", "greedy"]
    assert value["choices"][0]["caption"] == value["caption"] == caption.text
    maps = [caption.maps, *(other.maps for other in caption.n_best)]
    maps.append(desk.captioner(photo, beam_size=1).maps)
    assert value["peak"] == pytest.approx(shared_peak(np.concatenate(maps)))


# Writing


@pytest.mark.parametrize("how", [{"beam_size": 1}, {"sample": True, "seed": 5, "top_p": 1.0}])
def test_words_appear_one_by_one_and_end_as_in_one_go(
    desk: Desk, photo: str, how: dict[str, Any]
) -> None:
    *partial, (final, written) = desk.write(photo, options=desk.captioner.options(**how))
    caption = written.caption()
    at_once = desk.captioner(photo, **how)
    assert caption.text == at_once.text
    assert caption.log_prob == pytest.approx(at_once.log_prob, rel=1e-4)
    texts = [word.text for word in at_once.words]
    assert [[w["text"] for w in value["words"]] for value, _ in partial] == [
        texts[:count] for count in range(1, len(texts) + 1)
    ]
    assert all(value["busy"] for value, _ in partial)
    assert not final["busy"]
    for value, _ in partial:
        assert final["maps"].startswith(value["maps"][: len(value["maps"]) // 4 * 4 - 4])


def test_a_beam_appears_at_once(desk: Desk, photo: str) -> None:
    ((value, written),) = desk.write(photo, options=desk.captioner.options(beam_size=3))
    assert written.caption().text == desk.captioner(photo, beam_size=3).text
    assert "choices" not in value


def test_a_chosen_word_stays_and_the_rest_is_written_anew(desk: Desk, photo: str) -> None:
    *_, (value, _) = desk.write(
        photo, edits=[["the", "red", "cat"]], options=desk.captioner.options(beam_size=2)
    )
    assert [word["text"] for word in value["words"]][:3] == ["the", "red", "cat"]


def test_a_chosen_full_stop_ends_the_sentence(desk: Desk, photo: str) -> None:
    *_, (value, _) = desk.write(
        photo, edits=[["the", "red", "cat", "."]], options=desk.captioner.options(beam_size=1)
    )
    assert value["caption"] == "The red cat."
    with pytest.raises(ConfigError, match="needs a word before its full stop"):
        next(desk.write(photo, edits=[["."]]))


def test_a_word_that_cannot_be_said_is_refused(desk: Desk, photo: str) -> None:
    with pytest.raises(ConfigError, match=r"the prefix holds 'script'"):
        list(desk.write(photo, edits=[["<script>"]]))


def test_your_own_sentence_keeps_its_unknown_words(desk: Desk, photo: str) -> None:
    value, caption = desk.explain(photo, "A unicorn jumps.")
    assert [word["known"] for word in value["words"]] == [True, False, True]
    assert value["words"][1]["prob"] is None
    assert value["fixed"]
    assert caption.text == "A unicorn jumps."


# Words that a visitor chose


def _visit(page: Any, photo: str) -> tuple[list[Any], Written]:
    controls = [control.value for control in page.column.controls.values()]
    *_, (_, written) = page.caption.write(photo, None, "", *controls)
    return controls, written


def _chosen(page: Any, photo: str, written: Written, words: list[str], controls: list[Any]) -> Any:
    gr = pytest.importorskip("gradio")
    event = gr.EventData(None, {"before": words[:-1], "word": words[-1]})
    *_, found = page.caption.go_on(event, photo, written, "", *controls)
    return found


def test_a_choice_is_named_survives_other_options_and_is_undone(page: Any, photo: str) -> None:
    controls, plain = _visit(page, photo)
    value, first = _chosen(page, photo, plain, ["the", "red"], controls)
    assert value["edited"] == {"index": 1, "word": "red"}
    value, second = _chosen(page, photo, first, ["the", "red", "cat"], controls)
    assert second.before == ("the", "red", "cat")
    chosen = dict(zip(page.column.controls, controls, strict=True))
    others = {**chosen, "n_best": 2, "compare": True}.values()
    *_, (value, after) = page.caption.rewrite(photo, second, "", *others)
    assert value["edited"] == {"index": 2, "word": "cat"}
    assert [card["title"] for card in value["choices"]] == ["beam 3", "2", "greedy"]
    assert all(one.text.startswith("The red cat") for one in after.captions)
    *_, (value, once) = page.caption.undo(photo, after, "", *controls)
    assert once.caption().text == first.caption().text
    *_, (value, twice) = page.caption.undo(photo, once, "", *controls)
    assert twice.caption().text == plain.caption().text
    assert "edited" not in value
    *_, (value, fresh) = page.caption.write(photo, second, "", *controls)  # a photo came
    assert fresh.edits == ()


def test_a_choice_belongs_to_its_photo(page: Any, photo: str, tmp_path: Path) -> None:
    controls, plain = _visit(page, photo)
    _, chosen = _chosen(page, photo, plain, ["the", "red"], controls)
    other = tmp_path / "other.png"
    Image.new("RGB", (31, 17), "red").save(other)
    *_, (_, written) = page.caption.rewrite(str(other), chosen, "", *controls)
    assert written.edits == ()
    assert list(page.caption.undo(str(other), chosen, "", *controls)) == []


def test_a_full_stop_that_was_chosen_is_no_word(page: Any, photo: str) -> None:
    controls, plain = _visit(page, photo)
    value, _ = _chosen(page, photo, plain, ["the", "red", "."], controls)
    assert value["caption"] == "The red."
    assert value["edited"] == {"index": 1, "word": "."}


def test_choices_are_few(desk: Desk, photo: str) -> None:
    with pytest.raises(ConfigError, match="more than 200 words were chosen in turn; undo some"):
        next(desk.write(photo, edits=[["a"]] * 201))


# The card that is shown


def test_everything_follows_the_card_that_is_shown(bilingual: Desk, photo: str) -> None:
    from captioner.ui import app

    page = app.Page(bilingual)
    chosen = {name: control.value for name, control in page.column.controls.items()}
    controls = list({**chosen, "compare": True, "n_best": 2, "max_length": 7}.values())
    *_, (value, written) = page.caption.write(photo, None, "", *controls)
    texts = [one.text for one in written.captions]
    assert len(texts) == 3
    assert len({*texts}) > 1

    def file(shown: Any) -> str:
        path = Path(page.caption.file("json", written, shown, ""))
        return str(json.loads(path.read_text(encoding="utf-8"))["caption"])

    for card, text in enumerate(texts):
        shown = {**value, "choice": card}
        assert file(shown) == text
        _, (_, inside) = page.inside.open(photo, written, shown, None)
        _, (_, painted) = page.what_if.open(photo, written, shown, None, *controls)
        assert inside == painted.text == text
        again = page.caption.translate(photo, written, shown, "de")
        assert (again["choice"], again["links"]["card"]) == (card, card)
        wanted = bilingual.translated(written.captions[card], "de")
        assert again["links"]["caption"] == wanted.text
    for odd in (None, {}, {"choice": 7}, {"choice": "1"}, {"choice": -1}, [1], 3):
        assert file(odd) == texts[0]


def test_open_tabs_follow_the_photo(page: Any, photo: str, tmp_path: Path) -> None:
    gr = pytest.importorskip("gradio")
    other = str(tmp_path / "other.png")
    Image.new("RGB", (31, 17), "red").save(other)
    controls, written = _visit(page, photo)
    _, shown = page.sentence.explain(photo, "the red dog")
    value, again = page.sentence.open(other, shown)
    assert again == (other, "the red dog")
    assert [word["text"] for word in value["words"]] == ["the", "red", "dog"]
    assert value["size"] == [31, 17]
    assert page.sentence.open(None, shown) == ({"photo": "", "words": []}, None)
    _, painted = page.what_if.open(photo, written, None, None, *controls)
    event = gr.EventData(None, {"strokes": [{"cell": 1}]})
    value, _ = page.what_if.paint(event, photo, painted, *controls)
    assert value["moved"]
    assert page.what_if.paint(event, other, painted, *controls) == (gr.skip(), gr.skip())


def test_finer_maps_are_shown_and_covered(tiny_checkpoint: Checkpoint, photo: str) -> None:
    closer = Desk(Captioner(tiny_checkpoint, map_size=128))  # 4×4 cells, of a model with 2×2
    *_, (value, written) = closer.write(photo)
    assert value["grid"] == [4, 4]
    assert len(_decoded(value["maps"])) == 16 * len(value["words"])
    opened, caption = closer.paint(photo, None, [])
    assert caption.maps.shape[1:] == (4, 4)
    cells = opened["covers"][0]["looked"]
    assert set(cells) <= set(range(16))
    covered, _ = closer.paint(photo, caption, [{"cell": cell} for cell in cells])
    assert len(covered["moved"]["words"]) == len(caption.words)
    assert closer.inside(photo, written.caption().text)["grid"] == [2, 2]  # of the search itself


# What if


def test_painting_covers_what_was_painted_and_nothing_else(picture: Image.Image) -> None:
    painting = Painting.from_json([{"cell": 3}, {"radius": 0.05, "points": [[0.9, 0.9]]}])
    painted = np.asarray(painting.over(picture, (2, 2)))
    before, fill = np.asarray(picture), mean_colour(picture)
    assert (painted[30:, 52:] == fill).all()
    assert (painted[:20] == before[:20]).all()
    assert (np.asarray(picture) == before).all()


@pytest.mark.parametrize(
    "strokes",
    [
        None,
        "cell",
        [3],
        [{"radius": 0.1, "points": []}],
        [{"radius": 7, "points": [[0.5, 0.5]]}],
        [{"radius": 0.1, "points": [[0.5, 1e300]]}],
        [{"radius": 0.1, "points": [[float("nan"), 0.5]]}],
        [{"cell": "dog"}],
        [{"radius": 0.1, "points": [[0.5, 0.5]]}] * 401,
        [{"cell": 1}] * 4097,
    ],
)
def test_a_damaged_painting_is_refused(strokes: object) -> None:
    with pytest.raises(ConfigError, match=r"the painting is damaged or has more than 400 strokes"):
        Painting.from_json(strokes)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)).map(list), min_size=1, max_size=5),
    st.floats(0.001, 0.9),
    st.lists(st.integers(-5, 30), max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_any_painting_fits_any_photo(
    points: list[list[float]], radius: float, cells: list[int]
) -> None:
    strokes = [{"radius": radius, "points": points}, *({"cell": cell} for cell in cells)]
    painted = Painting.from_json(strokes).over(Image.new("RGB", (13, 7), "red"), (2, 3))
    assert painted.size == (13, 7)


def test_the_old_words_show_how_their_probability_moved(desk: Desk, photo: str) -> None:
    said = desk.captioner(photo)
    strokes = [{"cell": cell} for cell in range(4)]
    value, old = desk.paint(photo, said, strokes)
    assert old is said
    moved = value["moved"]["words"]
    assert [word["text"] for word in moved] == [word.text for word in said.words]
    assert [word["prob"] for word in moved] == pytest.approx(
        [word.prob for word in said.words], rel=1e-3
    )
    painted = Painting.from_json(strokes).over(Image.open(photo), (2, 2))
    again = desk.captioner.explain(painted, " ".join(word.text for word in said.words))
    assert [word["after"] for word in moved] == pytest.approx(
        [word.prob for word in again.words], rel=1e-3
    )
    assert value["paint"]
    assert len(value["fill"]) == 3


def test_nothing_painted_moves_nothing(desk: Desk, photo: str) -> None:
    value, said = desk.paint(photo, None, [])
    assert "moved" not in value
    assert value["caption"] == said.text == desk.captioner(photo).text


# Inside one step


def test_inside_holds_a_step_for_each_word_and_the_end(desk: Desk, photo: str) -> None:
    value = desk.inside(photo, "a dog jumps")
    assert json.loads(json.dumps(value)) == value
    assert value["words"] == ["a", "dog", "jumps", ""]
    assert [step["read"] for step in value["steps"]] == ["", "a", "dog", "jumps"]
    explained = desk.captioner.explain(photo, "a dog jumps")
    h, w = value["grid"]
    for step, weights in zip(value["steps"], explained.maps, strict=False):
        (scores,), (shares,) = step["scores"], step["weights"]
        np.testing.assert_allclose(shares, weights.ravel(), rtol=2e-3, atol=1e-6)
        powers = np.exp(np.array(scores) - max(scores))
        np.testing.assert_allclose(powers / powers.sum(), shares, rtol=2e-2, atol=1e-4)
        assert len(scores) == h * w == len(value["memories"][0]["lengths"][0])


# Memory, settings, messages


@dataclasses.dataclass
class Work:
    """How often a file was opened, and the encoder asked, since `watch`."""

    file: str = ""
    opens: int = 0
    encodes: int = 0

    def watch(self, file: str) -> None:
        """Counts from now on, for this file."""
        self.file, self.opens, self.encodes = file, 0, 0

    @property
    def done(self) -> tuple[int, int]:
        """(opens, encodes)."""
        return self.opens, self.encodes


WORK = Work()


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and WORK.file and arguments[0] == WORK.file:
        WORK.opens += 1


@pytest.fixture(scope="module")
def audited() -> None:
    sys.addaudithook(_on_audit)  # Python tells of every file; a hook stays until the end


@pytest.fixture
def work(bilingual: Desk, audited: None) -> Iterator[Work]:
    """What the page does with one photo, told by Python and torch themselves."""

    def encoded(*_: Any) -> None:
        WORK.encodes += 1

    encoder = bilingual.captioner.model.encoder
    hook = encoder.register_forward_pre_hook(encoded)
    yield WORK
    hook.remove()
    WORK.watch("")


def test_a_visit_opens_and_encodes_a_photo_once(bilingual: Desk, photo: str, work: Work) -> None:
    """Caption, comparison, translation, steps, downloads, a sentence of one's own, a painting."""
    from captioner.ui import app

    page = app.Page(bilingual)
    chosen = {name: control.value for name, control in page.column.controls.items()}
    controls = list({**chosen, "compare": True, "n_best": 2}.values())
    work.watch(photo)
    *_, (value, said) = page.caption.write(photo, None, "de", *controls)
    assert [card["title"] for card in value["choices"]] == ["beam 3", "2", "greedy"]
    assert value["links"]["language"] == "de"
    assert work.done == (1, 1)
    inside, _ = page.inside.open(photo, said, None, None)
    assert len(inside["steps"]) == len(said.caption().words) + 1
    page.caption.translate(photo, said, value, "de")
    page.caption.file("json", said, value, "de")
    page.sentence.open(photo, None)
    page.sentence.explain(photo, "the red dog runs")
    page.what_if.open(photo, said, None, None, *controls)
    assert work.done == (1, 1)
    painted, _ = page.what_if.repaint(photo, said.caption(), [{"cell": 3}], controls)
    assert painted["moved"]
    assert work.done == (2, 2)  # a painted photo is another photo


def test_growing_words_cost_one_search(
    bilingual: Desk, photo: str, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    decoder = bilingual.captioner.model.decoder
    real = type(decoder).step

    def counted(self: Any, *arguments: Any) -> Any:
        steps.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(type(decoder), "step", counted)
    work.watch(photo)
    options = bilingual.captioner.options(beam_size=1, max_length=9)
    *partial, (_, written) = bilingual.write(photo, options=options)
    caption = written.caption()
    assert len(partial) == len(caption.words)
    assert len(steps) == len(caption.words) + 1  # the end
    assert work.done == (1, 1)


def test_growing_words_are_those_of_the_best_sample(desk: Desk, photo: str) -> None:
    options = desk.captioner.options(sample=True, seed=5, n_best=7, temperature=3.0, top_p=1.0)
    *partial, (_, written) = desk.write(photo, options=options)
    caption = written.caption()
    assert [p.caption().text for _, p in partial][-1] == caption.text
    assert len(caption.n_best) == 6


def test_the_page_says_what_a_call_says(desk: Desk, tmp_path: Path) -> None:
    """A large photo is decoded at the size that each asks for, though its file is opened once."""
    pixels = np.random.default_rng(31).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    path = str(tmp_path / "large.jpg")
    Image.fromarray(pixels).resize((3400, 2600)).save(path)
    ((_, written),) = desk.write(path, options=desk.captioner.options(beam_size=3))
    caption = written.caption()
    assert caption.to_dict(maps=True) == desk.captioner(path, beam_size=3).to_dict(maps=True)
    assert caption.geometry is not None
    assert caption.geometry.photo == (3400, 2600)


def test_a_desk_leaves_its_captioner_as_it_was(tiny_checkpoint: Checkpoint, photo: str) -> None:
    captioner = Captioner(tiny_checkpoint)
    before = list(captioner.model.modules())
    Desk(captioner).shown(photo)
    assert list(map(id, captioner.model.modules())) == list(map(id, before))


def test_sliders_are_made_from_the_options(page: Any) -> None:
    sliders = {
        b.setting: b
        for b in page.blocks.blocks.values()
        if hasattr(b, "minimum") and hasattr(b, "setting")
    }
    offered = {entry.name: entry for entry in dataclasses.fields(SearchOptions)}
    offered = {name: entry for name, entry in offered.items() if entry.metadata["slider"]}
    assert sliders.keys() == offered.keys()
    for name, slider in sliders.items():
        made = (slider.minimum, slider.maximum, slider.step)
        assert made == offered[name].metadata["slider"]
        assert slider.value == getattr(page.desk.captioner.options(), name)


def test_controls_become_settings() -> None:
    own = SearchOptions(length_penalty=0.3, top_p=0.7)
    given = {"beam_size": 1.0, "n_best": 3.0, "sample": False, "max_length": 9.0}
    drawn = {"top_p": 0.5, "temperature": 1.5, "seed": 3.0}
    made = options_of(own, {**given, **drawn})
    assert made == dataclasses.replace(own, beam_size=3, n_best=3, max_length=9)
    made = options_of(own, {**given, **drawn, "sample": True})
    assert (made.beam_size, made.top_p, made.temperature, made.seed) == (1, 0.5, 1.5, 3)
    assert isinstance(made.seed, int)
    with pytest.raises(ConfigError, match="top_p is 7"):
        options_of(own, {"sample": True, "top_p": 7})


def test_a_message_names_no_folder_of_the_server(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "no photo.jpg"
    path.write_text("<script>alert(1)</script>")
    with pytest.raises(ImageError) as caught:
        desk.shown(str(path))
    message = messages.public_message(caught.value, str(path), None)
    assert message.startswith("no photo.jpg: ")
    assert str(tmp_path) not in message


def test_without_a_photo_there_is_nothing_to_see(desk: Desk) -> None:
    assert desk.shown(None) == {"photo": "", "words": []}


# Other languages


def test_a_translated_caption_is_linked_to_its_words(bilingual: Desk, photo: str) -> None:
    said = bilingual.captioner(photo)
    value = bilingual.value_of(Written.of(said), to="de")
    linked = value["links"]
    assert value["caption"] == said.text
    assert linked["language"] == "de"
    shares = np.array(linked["alignment"])
    assert shares.shape == (len(linked["words"]), len(said.words))
    np.testing.assert_allclose(shares.sum(1), 1, atol=2e-3)
    cells = said.maps.shape[1] * said.maps.shape[2]
    levels = _decoded(linked["maps"]).reshape(-1, cells) / 255 * value["peak"]
    expected = np.minimum(shares @ said.maps.reshape(-1, cells), value["peak"])
    np.testing.assert_allclose(levels, expected, atol=value["peak"] / 200)
    assert "links" not in bilingual.value_of(Written.of(said))


def test_the_cards_stay_beside_a_translation(bilingual: Desk, photo: str) -> None:
    said = bilingual.captioner(photo, beam_size=3, n_best=3)
    value = bilingual.value_of(Written.of(said), to="de")
    assert [card["title"] for card in value["choices"]] == ["1", "2", "3"]
    assert value["links"]


def test_languages_are_those_that_english_is_translated_into(bilingual: Desk, desk: Desk) -> None:
    assert bilingual.languages() == ("de",)
    if desk.translator is None:
        assert desk.languages() == ()


def test_a_text_is_translated_with_links_and_steps(bilingual: Desk) -> None:
    linked, steps = bilingual.translate("A dog runs.", "de")
    (value,) = linked["sentences"]
    assert value["source_words"] == ["A", "dog", "runs", "."]
    assert value["guessed"]
    assert np.array(value["alignment"]).shape == (len(value["words"]), 4)
    assert len(steps["steps"]) == len(steps["words"])
    (memory,) = steps["memories"]
    assert all(len(step["weights"][0]) == len(memory["positions"]) for step in steps["steps"])
    assert memory["positions"][-1] == steps["words"][-1] == ""
    with pytest.raises(ConfigError, match="nothing to translate"):
        bilingual.translate("  ", "de")
    with pytest.raises(ConfigError, match="'xx'"):
        bilingual.translate("A dog runs.", "xx")


def test_a_text_is_translated_sentence_by_sentence(bilingual: Desk) -> None:
    linked, steps = bilingual.translate("A dog runs. A man jumps over\nThe log.", "de", "en")
    first, _, third = linked["sentences"]
    assert third["source_words"] == ["The", "log", "."]
    assert not third["guessed"]
    alone, _ = bilingual.translate("A dog runs.", "de", "en")
    assert alone["sentences"] == [first]
    assert len(steps["memories"]) == 3
    assert {step["memory"] for step in steps["steps"]} == {0, 1, 2}
    for step in steps["steps"]:
        assert len(step["weights"][0]) == len(steps["memories"][step["memory"]]["positions"])
    assert len(steps["words"]) == len(steps["steps"])
    assert steps["words"].count("") == 3


def test_a_text_is_told_what_not_to_rely_on_and_keeps_what_cannot_be_read(bilingual: Desk) -> None:
    linked, steps = bilingual.translate("A zebra runs. A man jumps.", "de")
    first, *_ = linked["sentences"]
    assert "'zebra'" in first["warning"]
    kept, _ = bilingual.translate("A dog runs.\n* * *\nA man jumps.", "de")
    assert kept["sentences"][1]["warning"] == (
        "'* * *' has no words to translate; it stays as it is"
    )
    assert len(kept["pharaoh"]) == len(kept["sentences"]) == 3
    assert bilingual.translator is not None
    assert kept["pharaoh"][0] == bilingual.translator("A dog runs.", to="de").pharaoh() != ""
    assert len(steps["steps"]) == len(steps["words"])
    # A language that nobody named is guessed from the whole text, with what speaks against it.
    odd, _ = bilingual.translate("Der Hund. Ein Mann.", "de")
    named, _ = bilingual.translate("Der Hund. Ein Mann.", "de", "en")
    assert [one["guessed"] for one in odd["sentences"]] == [True, True]
    assert "taken for" not in str(named)


def test_without_weights_translation_says_so(desk: Desk, photo: str) -> None:
    alone = Desk(desk.captioner)
    alone.translator = None
    with pytest.raises(ConfigError, match="weights for translation are not there"):
        alone.translate("A dog.", "de")
    with pytest.raises(ConfigError, match="weights for translation are not there"):
        alone.value_of(Written.of(desk.captioner(photo)), to="de")


# Files


@pytest.mark.parametrize("viewer", VIEWERS)
def test_no_data_can_meet_a_template(viewer: str) -> None:
    for text in (assets.markup(viewer), assets.style(viewer)):
        assert not re.search(r"`|\\|\$\{|\{\{|@children", text)
    script = assets.script(viewer)
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|</script|"
        r"fetch\(|import\("
    )
    assert not re.search(forbidden, script)
    assert "http" not in script


@pytest.mark.parametrize("viewer", VIEWERS)
def test_every_rule_belongs_to_its_viewer(viewer: str) -> None:
    for rule in re.findall(r"^([^@}\n][^{]*)\{", assets.style(viewer), re.MULTILINE):
        assert all(part.strip().startswith(f".{viewer}") for part in rule.split(",")), rule


@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_viewer_says_everything_in_both_languages(viewer: str) -> None:
    english, korean = (assets.texts(viewer)[language] for language in assets.LANGUAGES)
    assert english.keys() == korean.keys()
    assert all([*english.values(), *korean.values()])
    used = set(re.findall(r"\btexts\.(\w+)", "".join(map(assets.module, assets.modules(viewer)))))
    assert used <= english.keys()
    own = assets.strings()["en"][viewer]
    assert own.keys() <= used
    assert not own.keys() & assets.strings()["en"]["shared"].keys()


def test_the_page_says_everything_in_both_languages() -> None:
    english, korean = (assets.strings()[language] for language in assets.LANGUAGES)
    assert {part: texts.keys() for part, texts in english.items()} == {
        part: texts.keys() for part, texts in korean.items()
    }
    source = "".join(path.read_text(encoding="utf-8") for path in UI.rglob("*.py"))
    named = set(re.findall(r'(?:I18N|in_both)\("(\w+)"\)', source))
    assert named <= english["page"].keys()


@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_script_holds_the_modules_it_needs_once(viewer: str) -> None:
    """A module's names are its own; what it imports is there before it, and exported there."""
    there: dict[str, set[str]] = {}
    for name in assets.modules(viewer):
        text = assets.module(name)
        for names, needed in re.findall(r'import \{([^}]*)\} from "\./(\w+)\.js";', text):
            wanted = {one.strip() for one in names.split(",") if one.strip()}
            assert wanted <= there[needed]
            body = text.partition(f'from "./{needed}.js";')[2]
            assert all(re.search(rf"\b{one}\b", body) for one in wanted)
        there[name] = set(re.findall(r"^export (?:function|const) (\w+)", text, re.M))
        assert text.count("export ") == len(there[name])
        assert assets.script(viewer).count(f"const {name}Module = ") == 1
        assert len(text.splitlines()) < 400
    assert name == viewer
    assert "start" in there[viewer]
    assert not re.search(r"^(import|export)\b", assets.script(viewer), re.M)


def test_every_module_and_style_belongs_to_a_viewer() -> None:
    needed = {f"{name}.js" for viewer in VIEWERS for name in assets.modules(viewer)}
    needed |= {"page.js", "frames.js", "icon.svg"}  # for the whole page
    styles = {f"{viewer}.css" for viewer in (*VIEWERS, "page", "frame")}
    assert {path.name for path in (UI / "static").iterdir()} == needed | styles


def test_modules_that_import_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = {"a": 'import { b } from "./b.js";\n', "b": 'import { a } from "./a.js";\n'}
    monkeypatch.setattr(assets, "module", ring.__getitem__)
    with pytest.raises(ValueError, match=r"^a\.js imports itself, by way of a and b$"):
        assets.modules("a")


def test_the_colours_are_those_of_the_sheets() -> None:
    from matplotlib import colormaps

    text = re.search(r'atob\(\s*"([^"]+)"', assets.script("viewer"))
    assert text is not None
    expected = colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(_decoded(text[1]).reshape(256, 3), expected)


def test_only_the_tabs_know_gradio() -> None:
    for path in UI.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        if any(name.split(".")[0] == "gradio" for name in names):
            assert path.parent.name == "tabs" or path.name == "app.py", path


def test_the_page_asks_what_anybody_can_call() -> None:
    """Nothing below a captioner, a look and a translator."""
    below = {"decoder", "encoder", "memory", "model", "subwords", "vocabulary"}
    for path in UI.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not below & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("module", ["app", "tabs.components"])
def test_gradio_is_told_where_files_lie_before_it_is_imported(module: str) -> None:
    code = f"""
import builtins, os, sys
kept = builtins.__import__
def watched(name, *more):
    if name == "gradio" and "gradio" not in sys.modules:
        print(os.environ["GRADIO_ANALYTICS_ENABLED"], os.environ["GRADIO_TEMP_DIR"])
        os._exit(sys.stdout.flush() or 0)
    return kept(name, *more)
builtins.__import__ = watched
import captioner.ui.{module}
"""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=UI.parent, capture_output=True, text=True, env=clean
    )
    switched, folder = ran.stdout.split()
    assert switched == "False"
    assert Path(folder).name.startswith("captioner-page-")
    Path(folder).rmdir()  # the process ended without its clean-up


def test_examples_are_pictures_that_can_be_chosen() -> None:
    found = pictures.examples()
    strip = found.value()["pictures"]
    assert len(strip) == len(found.pictures) >= 1
    assert [picture["fails"] for picture in strip] == [*[False] * (len(strip) - 1), True]
    assert {"key", "names", "credit"} <= strip[0].keys()
    assert found.about(found.path(0))["example"] == strip[0]["key"]
    assert found.about("another photo") == {}
    for picture in strip:
        assert picture["thumbnail"].startswith("data:image/jpeg;base64,")
    assert Path(found.path(0)).is_file()
    for index in (-1, len(strip), "0", None):
        with pytest.raises(ConfigError, match="there is no example"):
            found.path(index)


# The page itself


@pytest.fixture(scope="module")
def page(desk: Desk) -> Any:
    app = pytest.importorskip("captioner.ui.app")
    return app.Page(desk)


@pytest.fixture(scope="module")
def client(tiny_checkpoint: Checkpoint) -> Iterator[TestClient]:
    from captioner.ui import app

    with TestClient(app.serving(Captioner(tiny_checkpoint))) as client:
        yield client


def test_every_event_has_a_name_of_its_own(page: Any) -> None:
    events = [fn for fn in page.blocks.fns.values() if fn.fn is not None]
    names = [fn.api_name for fn in events]
    assert len(names) == len(set(names))
    assert all(isinstance(name, str) for name in names)
    public = {fn.api_name for fn in events if fn.api_visibility == "public"}
    assert public == {"caption", "caption_batch", "explain", "translate"}
    assert all(name.startswith("_") for name in set(names) - public)


def test_whatever_runs_the_model_waits_in_one_queue(page: Any) -> None:
    free = {"_draws", "_example", "_forget", "_import", "_row", "_many"}
    free |= {f"_{kind}" for kind in ("csv", "jsonl", "texts", "zip", "pharaoh")}
    for event in page.blocks.fns.values():
        if event.fn is not None and event.api_name not in free:
            assert event.concurrency_id == "model", event.api_name


def test_handlers_answer_a_visitor_and_keep_nothing(page: Any, photo: str) -> None:
    controls = [control.value for control in page.column.controls.values()]
    *_, (value, said) = page.caption.write(photo, None, "", *controls)
    assert value["caption"] == said.caption().text
    assert next(page.caption.write(None, None, "", *controls)) == ({"photo": "", "words": []}, None)
    other, (shown, _) = page.what_if.open(photo, said, None, None, *controls)
    assert shown == photo
    assert other["paint"]
    inside, _ = page.inside.open(photo, said, None, None)
    assert len(inside["steps"]) == len(said.caption().words) + 1
    # A photo that cannot be read says so where the steps and the painting would be.
    for answer in (
        page.inside.open("another.jpg", said, None, None),
        page.what_if.open("another.jpg", said, None, None, *controls),
    ):
        value, about = answer
        assert about is None
        assert value["error"].startswith("another.jpg: there is no such file")


def test_files_are_in_the_language_that_was_chosen(bilingual: Desk, photo: str) -> None:
    from captioner.ui import app

    page = app.Page(bilingual)
    controls = [control.value for control in page.column.controls.values()]
    *_, (value, written) = page.caption.write(photo, None, "de", *controls)
    said = written.caption()
    assert value["links"]["language"] == "de"
    values = json.loads(
        Path(page.caption.file("json", written, value, "de")).read_text(encoding="utf-8")
    )
    assert values["to"] == "de"
    assert values["original"]["caption"] == said.text
    assert values["caption"] == value["links"]["caption"]
    values = json.loads(
        Path(page.caption.file("json", written, value, "")).read_text(encoding="utf-8")
    )
    assert values["caption"] == said.text
    assert values.keys().isdisjoint({"original", "to"})


def test_without_weights_the_page_offers_no_language(desk: Desk) -> None:
    from captioner.ui import app

    alone = Desk(desk.captioner)
    alone.translator = None
    blocks = app.Page(alone).blocks
    assert not [block for block in blocks.blocks.values() if block.elem_id in ("to", "text")]
    said = " ".join(str(getattr(block, "value", "")) for block in blocks.blocks.values())
    assert "no_translation" in said
    assert "no_weights" in said


def test_a_bad_photo_takes_the_old_caption_away(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "song.jpg"
    path.write_text("la la la")
    answers = page.caption.write(
        str(path), None, "", *[control.value for control in page.column.controls.values()]
    )
    ((value, written),) = answers
    assert (value["photo"], value["words"], written) == ("", [], None)
    assert value["error"].startswith("song.jpg: this is text, expected a photo")


def test_a_page_that_is_loaded_again_is_as_it_was(bilingual: Desk, photo: str) -> None:
    from captioner.ui import app

    page = app.Page(bilingual)
    controls = [control.value for control in page.column.controls.values()]
    *_, (_, plain) = page.caption.write(photo, None, "", *controls)
    value, chosen = _chosen(page, photo, plain, ["the", "red"], controls)
    assert value["edits"] == [["the", "red"]]
    kept = {"choice": 0, "edits": value["edits"]}
    *_, (again, written, path, to, *options) = page.caption.restore(photo, kept, "de", *controls)
    assert (path, to) == (photo, "de")
    assert written.caption().text == chosen.caption().text
    assert (again["edited"], again["caption"]) == (value["edited"], value["caption"])
    assert again["links"]["language"] == "de"
    assert [one["value"] for one in options] == controls
    for odd in (None, 7, {"edits": 7}, {"edits": [["<script>"]]}):
        *_, (value, *_) = page.caption.restore(photo, odd, "", *controls)
        assert value["caption"] == plain.caption().text


def test_the_page_begins_with_a_caption(page: Any) -> None:
    value, written = page.caption.viewer.value, page.caption.written.value
    assert value["opening"]
    assert value["example"] == page.examples.pictures[0].key
    assert value["caption"] == written.caption().text
    assert page.column.photo.value["path"] == written.photo  # so that all tabs know it


def test_cards_rank_as_they_read(desk: Desk, photo: str) -> None:
    for penalty in (1.0, 0.4):
        options = desk.captioner.options(beam_size=5, n_best=5, length_penalty=penalty)
        ((value, written),) = desk.write(photo, options=options)
        scores = [card["score"] for card in value["choices"]]
        assert scores == sorted(scores, reverse=True)
        for card, caption in zip(value["choices"], written.captions, strict=True):
            assert ("per_word" in card) is (penalty == 1)
            expected = caption.log_prob / (len(caption.words) + 1) ** penalty
            assert card["score"] == pytest.approx(expected, rel=1e-3)
        if penalty == 1:
            assert value["choices"][0]["per_word"] == pytest.approx(np.exp(scores[0]), rel=1e-3)


def test_errors_are_said_in_korean(desk: Desk, tmp_path: Path) -> None:
    """Every message of the page that a visitor can cause has a translation, and no other."""
    patterns = json.loads(assets.reasons())["patterns"]
    for pattern, korean in patterns:
        groups = re.compile(pattern).groups
        assert {*map(int, re.findall(r"\$(\d)", korean))} <= {*range(1, groups + 1)}
        assert re.search("[가-힣]|\\$", korean)

    def known(message: str) -> bool:
        for pattern, _ in patterns[:-1]:
            if re.fullmatch(pattern, message, re.S):
                return True
        rest = message.partition(": ")[2]
        return bool(rest) and known(rest)

    files = {
        "song.jpg": b"la la la",
        "empty.png": b"",
        "page.html": b"<html></html>",
        "a.svg": b"<svg xmlns='x'/>",
        "a.pdf": b"%PDF-1.7",
        "a.zip": b"PK\x03\x04....",
        "odd.bin": bytes(range(256)),
        "half.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError) as caught:
            next(desk.write(str(tmp_path / name)))
        message = messages.public_message(caught.value, str(tmp_path / name))
        assert known(message), message
    (tmp_path / "dog.png").write_bytes((tmp_path / "song.jpg").read_bytes())
    Image.new("RGB", (64, 64)).save(tmp_path / "dog.png")
    for text in ("", "...", "a" * 1001):
        with pytest.raises(ConfigError) as refused:
            desk.explain(str(tmp_path / "dog.png"), text)
        assert known(messages.public_message(refused.value)), refused.value
    for text in ("", "dog " * 201, f"A dog.\n{'é' * 900}", "雪", "\ud800"):
        with pytest.raises(ConfigError) as refused:
            desk.translate(text, "de")
        assert known(messages.public_message(refused.value)), refused.value
    for edits in ([["."]], [["<script>"]], [["a"]] * 201):
        with pytest.raises(ConfigError) as refused:
            list(desk.write(str(tmp_path / "dog.png"), edits=edits))
        assert known(messages.public_message(refused.value)), refused.value


def test_errors_are_told_in_one_line(page: Any) -> None:
    import gradio as gr

    from captioner.ui.tabs import events

    def refuse(path: str) -> None:
        raise ImageError(f"{path}: this is a song; expected a photo")

    with pytest.raises(gr.Error) as caught:
        events.with_errors(refuse)("/somewhere/secret/song.jpg")
    assert caught.value.message == "song.jpg: this is a song; expected a photo"

    def broken() -> Iterator[None]:
        yield None
        raise CaptionerError("no more")

    with pytest.raises(gr.Error, match="no more"):
        list(events.streaming_with_errors(broken)())


def test_the_page_is_served_and_healthy(client: TestClient) -> None:
    assert client.get("/").status_code == 200
    health = client.get("/healthz").json()
    assert health["status"] == "ok"
    assert health["captioner"] is True
    config = client.get("/config").json()
    drawings = [c for c in config["components"] if c["props"].get("js_on_load")]
    assert {c["props"]["html_template"] for c in drawings} == {
        assets.markup(viewer) for viewer in VIEWERS if viewer != "pairs"
    } | ({assets.markup("pairs")} if health["translator"] else set())


# Files of a stranger's choice

CANARY = "the canary's own words"
ENDPOINTS = (
    *("caption", "caption_batch", "explain", "translate"),
    *(
        "_write",
        *(f"_write_{name}" for name in (*CONTROLS, "again")),
        "_go_on",
        "_undo",
        "_in_language",
        "_example",
        "_restore",
        "_forget",
    ),
    *(
        "_draws",
        "_gif",
        "_sheet",
        "_json",
        "_html",
        "_open_sentence",
        "_explain",
        "_open_paint",
        "_paint",
    ),
    *("_open_inside", "_many", "_import", "_row", "_csv", "_jsonl", "_texts"),
    *("_zip", "_translate", "_pharaoh"),
)
INPUTS = {"slider": 3, "number": 1, "checkbox": False, "textbox": "a dog", "radio": ""}


@dataclasses.dataclass
class Stranger:
    """Somebody with nothing but HTTP, and a file that is none of their business."""

    client: TestClient
    canary: Path

    def config(self) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
        """The events by their names, and the components by their numbers."""
        config = self.client.get("/config").json()
        events = {event["api_name"]: event for event in config["dependencies"]}
        return events, {one["id"]: one for one in config["components"]}

    def ask(self, name: str, data: list[Any], **more: Any) -> str:
        """Everything that comes back."""
        posted = self.client.post(f"/gradio_api/call/{name}", json={"data": data, **more})
        if posted.status_code != 200:
            return str(posted.text)
        event = posted.json()["event_id"]
        return str(self.client.get(f"/gradio_api/call/{name}/{event}").text)

    def join(self, name: str, data: list[Any], status: int = 200, **more: Any) -> str:
        """Everything that the page itself would be told, within one session."""
        number = self.config()[0][name]["id"]
        body = {"data": data, "fn_index": number, "session_hash": "one visit", **more}
        posted = self.client.post("/gradio_api/queue/join", json=body)
        assert posted.status_code == status, posted.text
        if status != 200:
            return str(posted.text)
        return self.client.get("/gradio_api/queue/data?session_hash=one visit").text

    def upload(self, photo: str) -> Any:
        """The answer to an upload."""
        file = (Path(photo).name, Path(photo).read_bytes())
        return self.client.post("/gradio_api/upload", files={"files": file})

    def copies(self) -> list[Path]:
        """Where the canary is among the files that anybody can fetch."""
        files = [path for path in uploads.claim().rglob("*") if path.is_file()]
        return [path for path in files if CANARY.encode() in path.read_bytes()]

    def attempts(self, name: str) -> Iterator[list[Any]]:
        """The inputs of an event, the file in one after the other, as a client would send it."""
        events, components = self.config()
        kinds = [components[number] for number in events[name]["inputs"]]
        plain = [INPUTS.get(kind["type"]) for kind in kinds]
        file = {"path": str(self.canary), "meta": {"_type": "gradio.FileData"}}
        for place in range(len(kinds)):
            is_text = kinds[place]["type"] not in ("image", "file")
            for sent in [file] if is_text else [file, [file]]:
                yield [*plain[:place], sent, *plain[place + 1 :]]


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is neither uploaded nor below the working directory."""
    path = tmp_path_factory.mktemp("home") / "secret.jsonl"
    values = {"caption": CANARY, "words": ["a"], "grid": [1, 1], "maps": [[1]]}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def guarded(bilingual: Desk, canary: Path) -> Iterator[Stranger]:
    """The page as it is served."""
    from captioner.ui import app

    with TestClient(app.serving(bilingual.captioner)) as client:
        yield Stranger(client, canary)


@pytest.fixture(scope="module")
def bare(bilingual: Desk, canary: Path) -> Iterator[Stranger]:
    """The page without the guard before it, to see what Gradio itself lets pass."""
    from captioner.ui import app

    served = FastAPI()
    app.mount(served, app.Page(bilingual).blocks.queue())
    with TestClient(served) as client:
        yield Stranger(client, canary)


def test_the_endpoints_below_are_all(guarded: Stranger) -> None:
    events, _ = guarded.config()
    assert {name for name, event in events.items() if event["backend_fn"]} == {*ENDPOINTS}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_no_endpoint_reads_a_file_that_was_not_uploaded(guarded: Stranger, name: str) -> None:
    told = guarded.config()[0][name]["collects_event_data"]
    for data in guarded.attempts(name):
        for happened in ({}, {"index": data[-1]}):
            if told:
                answer = guarded.join(name, data, status=400, event_data=happened)
            else:
                answer = guarded.ask(name, data, event_data=happened)
            assert "a file was given that is not among the uploads; upload it" in answer
    assert guarded.copies() == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_gradio_alone_reads_none_either(bare: Stranger, name: str) -> None:
    for data in bare.attempts(name):
        answer = bare.ask(name, data)
        assert CANARY not in answer
        assert str(bare.canary.name) not in answer or str(uploads.claim()) not in answer
    assert bare.copies() == []


def test_no_endpoint_tells_whether_a_file_is_there(guarded: Stranger) -> None:
    missing = dataclasses.replace(guarded, canary=guarded.canary.with_name("none.jsonl"))
    for name in ("caption", "caption_batch", "explain", "_write", "_many", "_import"):
        for there, gone in zip(guarded.attempts(name), missing.attempts(name), strict=True):
            assert guarded.ask(name, there) == missing.ask(name, gone)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("translate", [{"a": 1}, "de", "en"]),
        ("translate", [["A dog."], "de", "en"]),
        ("translate", ["A dog.", 7, "en"]),
        ("explain", [None, True, False]),
        ("_translate", [{"a": 1}, "de", ""]),
    ],
)
def test_a_text_is_a_text(guarded: Stranger, name: str, data: list[Any]) -> None:
    assert re.search(r"a text was expected, but .* came; send a text", guarded.ask(name, data))


@pytest.mark.parametrize(
    ("name", "most"),
    [("explain", 10_000), ("translate", 10_000), ("_explain", 400), ("_translate", 2000)],
)
def test_a_text_has_a_length(guarded: Stranger, name: str, most: int) -> None:
    text = "\n" * (most + 1)
    data = {
        "explain": [None, text, False],
        "translate": [text, "de", "en"],
        "_explain": [None, text],
        "_translate": [text, "de", ""],
    }[name]
    said = f"the text has {most + 1} characters; expected at most {most}"
    told = guarded.ask(name, data)
    assert said in told
    assert len(told) < 300


def test_a_language_is_short(guarded: Stranger) -> None:
    told = guarded.ask("translate", ["A dog.", "x" * 100_000, "en"])
    assert "the text has 100000 characters; expected at most 40" in told


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"before": ["a"] * 60, "word": "dog"}, "the words before are no list of at most 50 words"),
        ({"before": [["a"]], "word": "dog"}, "the words before are no list of at most 50 words"),
        ({"before": 7, "word": "dog"}, "the words before are no list of at most 50 words"),
        ({"before": None, "word": "dog"}, "the words before are no list of at most 50 words"),
        ({"before": [], "word": {"a": 1}}, "the words before are no list of at most 50 words"),
        ({"before": [], "word": "x" * 9999}, "xxx'… has 9999 characters; expected at most 50"),
    ],
)
def test_chosen_words_are_few_and_short(
    page: Any, photo: str, chosen: dict[str, Any], said: str
) -> None:
    gr = pytest.importorskip("gradio")
    from captioner.ui.tabs import events

    event = gr.EventData(None, chosen)
    controls = [control.value for control in page.column.controls.values()]
    with pytest.raises(gr.Error) as caught:
        list(events.streaming_with_errors(page.caption.go_on)(event, photo, None, "", *controls))
    assert said in caught.value.message
    assert len(caught.value.message) < 120


def test_sentences_have_a_length_wherever_they_come_from(bilingual: Desk, photo: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bilingual.explain(photo, "a " * 501)
    assert str(caught.value) == "the sentence has 1002 characters; expected at most 1000"
    with pytest.raises(ConfigError) as caught:
        bilingual.translate("A dog. " * 2000, "de")
    assert str(caught.value) == "the text has 14000 characters; expected at most 10000"


def test_a_message_is_one_short_line() -> None:
    long = ConfigError("what came\r\n is \n" + "x" * 5000 + "\n; write less")
    message = messages.public_message(long)
    assert message.startswith("what came is xxx")
    assert message.endswith("xxx ; write less")
    assert "\n" not in message
    assert len(message) == messages.LONGEST_MESSAGE + 1


def test_an_event_takes_as_many_photos_as_the_page_promises(
    guarded: Stranger, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = guarded.upload(photo).json()
    file = {"path": name, "meta": {"_type": "gradio.FileData"}}
    for event, data in (("_many", [[file] * 201]), ("_import", [None, None, [file] * 201])):
        assert "201 photos were given; expected 1 to 200 at once" in guarded.ask(event, data)
    assert "at most 250 are taken; send fewer at once" in guarded.ask("_many", [[file] * 251])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x", "beam_size is a text; expected a number"),
        ([1], "beam_size is a list; expected a number"),
        ({"a": 1}, "beam_size is an object; expected a number"),
        (True, "beam_size is true or false; expected a number"),
        (10**400, "beam_size is far out of range; expected a number"),
    ],
)
def test_a_number_is_a_number(guarded: Stranger, photo: str, value: Any, said: str) -> None:
    (name,) = guarded.upload(photo).json()
    file = {"path": name, "meta": {"_type": "gradio.FileData"}}
    assert said in guarded.ask("caption", [file, value, 1, None, False, None])
    assert said in guarded.ask("_write", [file, None, "", value, 1, False, 9, False, 0.9, 1, 0])


def test_uploads_come_and_go_under_their_public_names(guarded: Stranger, photo: str) -> None:
    client, folder = guarded.client, str(uploads.claim())
    posted = guarded.upload(photo)
    (name,) = posted.json()
    assert re.fullmatch(r"uploads/[0-9a-f]{64}/a dog\.png", name)
    file = {"path": name, "meta": {"_type": "gradio.FileData"}}
    answers = [posted.text]
    answers.append(guarded.ask("caption", [file, None, 1, None, False, None]))
    assert '"file": "a dog.png"' in answers[-1]
    answers.append(guarded.join("_example", [], event_data={"index": 0}))
    (example,) = re.findall(r'"path":"(uploads/[^"]+)"', answers[-1])
    assert client.get(f"/gradio_api/file={example}").status_code == 200
    answers.append(guarded.ask("_many", [[file]]))
    answers.append(guarded.ask("translate", [name, "de", "en"]))
    answers.append(guarded.ask("_html", [None, {"photo": file}, ""]))
    assert "a drawing holds no file; send what was drawn" in answers[-1]
    answers.extend(client.get(path).text for path in ("/", "/config", "/gradio_api/info"))
    assert [answer for answer in answers if folder in answer] == []
    assert Path(photo).read_bytes() == client.get(f"/gradio_api/file={name}").content


def test_downloads_are_uploads_to_the_visitor(guarded: Stranger, photo: str) -> None:
    client = guarded.client
    (name,) = guarded.upload(photo).json()
    file = {"path": name, "meta": {"_type": "gradio.FileData"}}
    for event, data in (("_many", [[file]]), ("_jsonl", [None, {}])):
        answer = guarded.join(event, data)
        assert '"success":true' in answer
    assert str(uploads.claim()) not in answer
    (made,) = set(re.findall(r'"path":"(uploads/[^"]+captions.jsonl)"', answer))
    assert json.loads(client.get(f"/gradio_api/file={made}").text)["file"] == "a dog.png"


@pytest.mark.parametrize(
    ("given", "believed"),
    [({}, False), ({"origins": ["captions.example"]}, True), ({"root_path": "/captions"}, True)],
)
def test_a_proxy_is_believed_where_one_was_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], believed: bool
) -> None:
    from captioner.ui import app

    monkeypatch.setattr(server, "create", lambda mount, **settings: settings)
    made: Any = app.serving(desk.captioner, **given)
    assert made["behind_proxy"] is believed


def test_the_queue_cannot_be_passed_by(guarded: Stranger) -> None:
    body = {"data": ["A dog.", "de", "en"]}
    assert guarded.client.post("/gradio_api/run/translate", json=body).status_code == 404
    assert guarded.client.post("/gradio_api/api/translate", json=body).status_code == 403


def test_the_examples_are_the_pages_own(page: Any) -> None:
    from captioner import examples

    packaged = {path for _, path in examples.found()}
    for path in map(Path, page.examples.paths()):
        assert uploads.claim() in path.parents
        assert path not in packaged
    assert {*page.examples.paths()} <= page.column.photo.keep_in_cache  # else gone in a day


# The command


def test_the_command_line_refuses_what_cannot_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAPTIONER_PASSWORD", raising=False)
    for auth in ("ann", ":secret", "ann:", ""):
        assert main(["ui", "--auth", auth]) == 2
        assert capsys.readouterr().err == (
            "captioner: --auth takes a name, whose password is in the environment's "
            "CAPTIONER_PASSWORD or asked for, or both with a colon between: ann:secret\n"
        )
    assert main(["ui", "--embed", "https://here; script-src *"]) == 2
    assert "expected a web site such as https://huggingface.co" in capsys.readouterr().err
    for name in ("https://captions.example", "captions.example/", "a b", "", "x:y", "*"):
        assert main(["ui", "--allow-host", name]) == 2
        assert "expected a host name such as captions.example, with its" in capsys.readouterr().err
    for path in ("captions", "//evil.example", "/a/../b", "/a b", "/a?b", "https://x/captions"):
        assert main(["ui", "--root-path", path]) == 2
        assert "expected a path such as /captions" in capsys.readouterr().err
    assert main(["ui", "--checkpoint", "missing.safetensors", "--port", "0"]) == 2
    assert "missing.safetensors: no such file" in capsys.readouterr().err


def _served_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """What the page would be served with; nothing is."""
    from captioner.cli import ui as pages
    from captioner.ui import app

    seen: dict[str, Any] = {}
    monkeypatch.setattr(pages, "load_captioner", lambda arguments: None)
    monkeypatch.setattr(app, "serving", lambda captioner, **given: seen.update(given))
    monkeypatch.setattr(server, "serve", lambda *given, **more: seen.update(more))
    assert main(["ui", "--port", "0", *arguments]) == 0
    return seen


def test_a_password_is_typed_or_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from captioner.cli import ui as pages

    assert _served_with(monkeypatch)["auth"] is None
    assert _served_with(monkeypatch, "--auth", "ann:a:b")["auth"] == ("ann", "a:b")
    monkeypatch.setenv("CAPTIONER_PASSWORD", "from:here")
    assert _served_with(monkeypatch, "--auth", "ann")["auth"] == ("ann", "from:here")
    monkeypatch.delenv("CAPTIONER_PASSWORD")
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))
    asked: list[str] = []
    monkeypatch.setattr(pages.getpass, "getpass", lambda text: asked.append(text) or "typed")
    assert _served_with(monkeypatch, "--auth", "ann")["auth"] == ("ann", "typed")
    assert asked == ["password of ann, for visitors of the page: "]


def test_a_proxys_names_are_answered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _served_with(monkeypatch)
    assert plain["hosts"] == server.LOOPBACK
    assert (plain["origins"], plain["root_path"], plain["behind_proxy"]) == ([], "", False)
    given = ("--allow-host", "Captions.example", "--allow-host", "x.example:8443")
    found = _served_with(monkeypatch, *given, "--root-path", "/captions/")
    assert found["hosts"] == (*server.LOOPBACK, "captions.example", "x.example")
    assert found["origins"] == ["captions.example", "x.example:8443"]
    assert (found["root_path"], found["behind_proxy"]) == ("/captions", True)
    assert _served_with(monkeypatch, "--host", "0.0.0.0")["hosts"] == ()
    assert "x.example" in _served_with(monkeypatch, "--host", "0.0.0.0", *given)["hosts"]


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("loading", signal.SIGINT),  # a page takes seconds to start: one stands for all
        ("serving", signal.SIGTERM),
        ("serving", signal.SIGHUP),
        ("serving", signal.SIGINT),
    ],
)
def test_the_folder_goes_whatever_ends_the_page(
    tmp_path: Path, tiny_checkpoint: Checkpoint, number: int, moment: str
) -> None:
    checkpoints.save(tiny_checkpoint, tmp_path / "weights.safetensors", torch.float32)
    process = subprocess.Popen(
        [sys.executable, "-c", _PAGE % moment, str(tmp_path / "weights.safetensors")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=UI.parent,
        env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "gradio")},
        preexec_fn=hear_signals,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(moment):
                break
        (folder,) = (tmp_path / "gradio").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        process.send_signal(number)
        assert process.wait() == (0 if moment == "serving" else 128 + number)
    assert list((tmp_path / "gradio").iterdir()) == []


_PAGE = """
import sys, time
from captioner.cli import main, ui as pages
from captioner.ui import app, server
startup = server.uvicorn.Server.startup
async def started(self, *given, **more):
    await startup(self, *given, **more)
    print("serving", flush=True)
server.uvicorn.Server.startup = started
if "%s" == "loading":
    def load(arguments):
        print("loading", flush=True)
        time.sleep(600)
    pages.load_captioner = load
sys.exit(main(["ui", "--port", "0", "--checkpoint", sys.argv[1]]))
"""


def test_a_drawing_listens_to_what_its_script_names_as_gradio_has_it() -> None:
    import gradio as gr

    from captioner.ui.tabs.components import Drawing

    def heard(component: Any) -> dict[str, bool]:
        return {name: hasattr(component, name) for name in ("select", "undo", "input", "unheard")}

    for viewer in ("viewer", "strip", "table"):
        with gr.Blocks():
            drawing = Drawing(viewer)
            plain = gr.HTML(js_on_load=assets.script(viewer))
        assert heard(drawing) == heard(plain)
        with pytest.raises(AttributeError, match="'Drawing' object has no attribute 'unheard'"):
            _ = drawing.unheard


def test_a_visit_searches_no_script(bilingual: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr
    from gradio.state_holder import SessionState

    from captioner.ui import app

    blocks = app.Page(bilingual).blocks
    found: list[str] = []
    search = gr.HTML.__getattr__

    def counted(self: Any, name: str) -> Any:
        found.append(name)
        return search(self, name)

    monkeypatch.setattr(gr.HTML, "__getattr__", counted)
    SessionState(blocks)  # what Gradio makes before a visitor's first answer
    assert not found
    assert hasattr(gr.HTML(js_on_load="'ours'"), "ours")
    assert found[-1] == "ours"


def test_gradio_need_not_look_for_a_screen_before_its_first_answer(bilingual: Desk) -> None:
    import matplotlib

    from captioner.ui import app

    matplotlib.use("svg")
    app.serving(bilingual.captioner)
    assert matplotlib.get_backend(auto_select=False) == "agg"  # else it imports all of pyplot
