"""The pictures of the page about attention: what each variant did is drawn, what lacks is told."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.attention_pictures import memories
from benchmarks.attention_pictures.__main__ import DRAWINGS, Runs, made, main, shown
from benchmarks.attention_pictures.layout import LARGEST, packed, picture_of
from benchmarks.attention_pictures.rows import Asked, Row, Tile, drawn, each_head, plain, so_far
from benchmarks.attention_pictures.words import decoder_looks
from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.errors import ConfigError
from captioner.nn.model import build_model
from captioner.settings import from_dict, to_dict
from captioner.studies.config import read_study
from captioner.translation import Translator

ROOT = Path(__file__).parent.parent
SENTENCE, WORDS = "A dog jumps over the log.", ("dog", "log")
STUDY = read_study(
    ROOT / "configs/study-family-captions.toml",
    [("recipe", str(ROOT / "configs/family-captions.toml"))],
)


@pytest.fixture(scope="module")
def runs(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained models of the study's own variants."""
    folder = tmp_path_factory.mktemp("runs")
    wanted = {name for drawing in DRAWINGS for name in drawing.variants}
    torch.manual_seed(2)
    for variant in STUDY.variants:
        if variant.name in wanted:
            checkpoints.save(
                tiny(tiny_checkpoint, variant), folder / f"{variant.name}-1.safetensors"
            )
    return folder


def tiny(like: Checkpoint, variant: Any) -> Checkpoint:
    own = to_dict(STUDY.recipe_of(variant, 1).model)
    small = to_dict(like.config)
    own["encoder"] |= {k: v for k, v in small["encoder"].items() if k not in ("refine", "heads")}
    own["attention"]["size"] = 24
    own["decoder"] |= {"hidden_size": 24, "embedding_size": 24}
    config = from_dict(type(like.config), own)
    model = build_model(config, len(like.vocabulary)).eval()
    return dataclasses.replace(like, model=model, config=config)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize((64, 64))
    photo.save(path)
    return Asked(photo, path, SENTENCE, WORDS, (("left", 0.2, 0.5), ("right", 0.9, 0.5)))


def test_every_picture_is_drawn_and_small(runs: Path, asked: Asked) -> None:
    found = dict(made(Runs(runs, 1), asked, [d.name for d in DRAWINGS if d.name != "supervised"]))
    assert set(found) == {drawing.name for drawing in DRAWINGS} - {"supervised"}
    for name, picture in found.items():
        assert isinstance(picture, Image.Image), (name, picture)
        assert picture.width > 300
        assert len(packed(picture)) <= LARGEST


def test_a_missing_run_leaves_the_old_picture(
    runs: Path, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "local.webp").write_bytes(b"old")
    main(
        [
            *(str(tmp_path / "none"), "--photo", str(asked.source), "--sentence", SENTENCE),
            *("--words", *WORDS, "--only", "local", "positions", "-o", str(tmp_path)),
        ]
    )
    out = capsys.readouterr().out
    assert (
        f"local: left as it is; there is no {tmp_path / 'none' / 'local-m-1.safetensors'}, " in out
    )
    assert "positions.webp: " in out
    assert (tmp_path / "local.webp").read_bytes() == b"old"
    assert Image.open(tmp_path / "positions.webp").format == "WEBP"


def test_a_word_that_the_sentence_lacks_is_told(asked: Asked) -> None:
    with pytest.raises(ConfigError, match=r"has no word 'ball'; its words are: a, dog, jumps, ove"):
        _ = dataclasses.replace(asked, words=("dog", "ball")).places


def test_what_a_variant_did_besides_stands_on_its_maps(runs: Path, asked: Asked) -> None:
    models = Runs(runs, 1)
    look = models["sentinel"].look(asked.source)
    trace = look.trace(SENTENCE).trace
    row = plain(models["sentinel"], asked, "")
    assert trace.gates is not None
    assert [tile.note for tile in row.tiles] == [
        f"sentinel {trace.extras['sentinel'][place].mean():.2f}\ngate {trace.gates[place]:.2f}"
        for place in (1, 5)
    ]

    # Word 1 of a grid of 2 × 2: local-m stands on cell 1, the upper right one.
    first = plain(models["local-m"], asked, "").tiles[0]
    assert first.dots == ((1.5, 0.5),)
    assert first.window == (-2, -3, 5, 4)

    hard = drawn(models["hard"], asked, "")
    glimpses = [tile.dots[0] for tile in hard.tiles]
    assert all(
        tile.weights[int(y), int(x)] > 0 for tile, (x, y) in zip(hard.tiles, glimpses, strict=True)
    )
    assert plain(models["hard"], asked, "").tiles[0].dots == ()  # as it was before


def test_heads_layers_and_what_was_seen_so_far(runs: Path, asked: Asked) -> None:
    models = Runs(runs, 1)
    heads = each_head(models["four-heads"], asked, "says")
    assert [row.title for row in heads] == ["head 1", "head 2", "head 3", "head 4"]
    whole = plain(models["four-heads"], asked, "").tiles[1].weights
    np.testing.assert_allclose(
        np.mean([row.tiles[1].weights for row in heads], 0), whole, atol=1e-6
    )
    layers = each_head(models["transformer"], asked, "says")
    assert (layers[0].title, layers[-1].title) == ("layer 1, head 1", "layer 2, head 4")

    given = models["coverage"].look(asked.source).explain(SENTENCE).maps
    np.testing.assert_allclose(
        so_far(models["coverage"], asked).tiles[1].weights, given[:5].mean(0), atol=1e-6
    )


def test_no_word_looks_at_those_behind_it(runs: Path, asked: Asked) -> None:
    looks = decoder_looks(Runs(runs, 1)["transformer"], asked.source, SENTENCE)
    assert len(looks) == 2
    for each in looks:
        assert each.shape == (7, 7)
        assert np.triu(each, 1).max() == 0
        np.testing.assert_allclose(each.sum(1), 1, atol=1e-5)


def test_marks_are_drawn_where_they_are_said(asked: Asked) -> None:
    weights = np.full((2, 2), 0.25, np.float32)
    bare = picture_of(asked, [Row("", "", [Tile(weights)])], ("dog",), 100)
    marked = picture_of(asked, [Row("", "", [Tile(weights, dots=((0.5, 0.5),))])], ("dog",), 100)
    differs = (np.asarray(bare) != np.asarray(marked)).any(-1)
    rows, columns = np.nonzero(differs)
    left, top = marked.width - 14 - 100, marked.height - 14 - 100
    assert abs(rows.mean() - top - 25) < 1
    assert abs(columns.mean() - left - 25) < 1


def test_two_memories_say_how_much_of_a_look_lay_on_the_photo(
    seen_weights: Path, seen_world: Path, tmp_path: Path
) -> None:
    for variant, _, _ in memories.ROWS:
        shutil.copy(seen_weights, tmp_path / f"{variant}-1.safetensors")
    photo = seen_world / "red.png"
    about = Asked(Image.open(photo), photo, "A ball.", (), ())
    rows = memories.memories(tmp_path, about, "Ein roter Ball.", ("roter", "Ball"))
    assert [row.note for row in rows] == [
        "A ball." if not m else "A [v]." for *_, m in memories.ROWS
    ]
    found = Translator.load(seen_weights).explain(
        "A ball.", "Ein roter Ball.", to="de", photo=photo
    )
    assert found.seen is not None
    assert [tile.note for tile in rows[0].tiles] == [
        f"photo {share:.2f}" for share in found.seen.shares[1:3]
    ]
    np.testing.assert_allclose(rows[0].tiles[0].weights, found.seen.maps[1], atol=1e-6)
    with pytest.raises(ConfigError, match="has no word 'Hund'; its words are: Ein, roter, Ball"):
        memories.memories(tmp_path, about, "Ein roter Ball.", ("Hund",))
    (tmp_path / "flat-1.safetensors").unlink()
    assert memories.missing(tmp_path, 1) == [tmp_path / "flat-1.safetensors"]


def test_pages_show_what_is_drawn_and_wait_for_the_rest() -> None:
    page = "A\n\n<!-- picture hard: Maps\nand rings -->\n\n<!-- picture local: W -->\n"
    assert shown(page, ["hard"], "pictures") == (
        "A\n\n![Maps\nand rings](pictures/hard.webp)\n\n<!-- picture local: W -->\n"
    )


def test_the_pages_have_a_place_for_every_picture() -> None:
    names = {*(drawing.name for drawing in DRAWINGS), memories.NAME}
    for page in ("attention.md", "attention.ko.md"):
        text = shown((ROOT / "docs" / page).read_text(encoding="utf-8"), [*names], "attention")
        assert {name for name in names if f"(attention/{name}.webp)" not in text} == set()
