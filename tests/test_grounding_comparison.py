from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from captioner import scenes
from captioner.checkpoint import Checkpoint
from captioner.datasets import read_coco
from captioner.errors import DataError
from captioner.grounding import regions
from captioner.grounding.comparison import (
    ATTENTION,
    CAM,
    CLOSER,
    OCCLUSION,
    Comparison,
    compare,
)
from captioner.grounding.covering import Patches
from captioner.grounding.sentences import Asked, ask, sample
from captioner.grounding.synonyms import by_word
from captioner.prediction import Captioner
from captioner.text import tokenise
from tests.seeing import awake


@pytest.fixture(scope="module")
def looking(tiny_checkpoint: Checkpoint) -> Captioner:
    return awake(tiny_checkpoint)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, looking: Captioner) -> list[Asked]:
    folder = tmp_path_factory.mktemp("scenes")
    scenes.write(folder, train=0, val=12, size=(64, 64))
    photos = read_coco(folder / "captions_val.json", folder / "images")
    found = ask(photos, by_word(scenes.kinds_of), regions.read(folder / "instances_val.json"))
    known = [
        entry
        for entry in found
        if any(w in looking.vocabulary for text in entry.photo.captions for w in tokenise(text)
               if scenes.kinds_of(w))
    ]  # fmt: skip
    return sample(known, 3, 9)


@pytest.fixture(scope="module")
def found(looking: Captioner, asked: list[Asked]) -> Comparison:
    return compare(
        looking, asked, patches=Patches(4, 2), shares=(0.3, 0.6), second_fill=True, bootstrap=20
    )


def test_every_method_is_asked_the_same(found: Comparison) -> None:
    assert list(found.rows) == [
        ATTENTION,
        "attention, next step",
        "gradient × input",
        "Grad-CAM, cells",
        "Grad-CAM",
        "photo's mean map",
        "centre",
        "occlusion by blur",
        OCCLUSION,
        "attention, least first",
        "random",
    ]
    curved = {name for name, own in found.rows.items() if "deletion" in own}
    assert curved == {
        ATTENTION,
        "Grad-CAM",
        "centre",
        OCCLUSION,
        "attention, least first",
        "random",
    }
    assert set(found.curves) == curved
    assert {"agreement", "pointing", "deletion", "insertion", "hidden", "shown"} == set(
        found.rows[ATTENTION]
    )
    assert found.words >= 3
    for name, own in found.rows.items():
        for measure, estimate in own.items():
            if (name, measure) != ("centre", "agreement"):  # even, on four cells: it ranks nothing
                assert -1 <= estimate.value <= 1
                assert estimate.interval is not None
    assert all(estimate.value == 0 for estimate in found.ahead[ATTENTION].values())
    gap = found.rows[ATTENTION]["deletion"].value - found.rows["random"]["deletion"].value
    assert found.ahead["random"]["deletion"].value == pytest.approx(gap)


def test_curves_are_their_areas(found: Comparison) -> None:
    for name, (pixels, cells) in found.curves.items():
        assert pixels.shares == (0.0, 0.3, 0.6, 1.0)
        assert pixels.areas()[0][0] == pytest.approx(found.rows[name]["deletion"].value)
        assert cells is not None
        assert cells.areas()[1][0] == pytest.approx(found.rows[name]["shown"].value)
    ends = np.array([pixels.deletion[0, [0, -1]] for pixels, _ in found.curves.values()])
    assert np.allclose(ends, ends[:1])  # all cover everything, and nothing, in the end


def test_what_is_shown(found: Comparison) -> None:
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["words"] == found.words
    assert plain["curves"]["random"]["pixels"]["shares"] == [0.0, 0.3, 0.6, 1.0]
    lines = str(found).splitlines()
    assert "rank correlation with occlusion" in lines[0]
    assert "9 patches of 32 pixels" in lines[-1]
    assert len({len(line) for line in lines[: len(found.rows) + 2]}) == 1


def test_curves_of_some_photos_only(looking: Captioner, asked: list[Asked]) -> None:
    part = compare(looking, asked, patches=Patches(2, 1), curves_of=0, bootstrap=0)
    assert part.curves == {}
    assert "deletion" not in part.rows[ATTENTION]
    assert "pixels covered" not in str(part)


def test_nothing_to_compare(looking: Captioner, asked: list[Asked]) -> None:
    photo = dataclasses.replace(asked[0].photo, path=Path("gone.png"))
    with pytest.raises(DataError, match="no photo can be read, or no word"):
        compare(looking, [dataclasses.replace(asked[0], photo=photo)])


def with_classes(looking: Captioner, kinds: tuple[str, ...]) -> Checkpoint:
    """The same captioner with a classifier over its encoder's last stage."""
    torch.manual_seed(2)
    model = copy.deepcopy(looking.model)
    model.encoder.classifier = nn.Linear(model.encoder.project.in_features, len(kinds))
    return dataclasses.replace(looking.checkpoint, model=model, kinds=kinds)


def test_pointing_alone_covers_nothing(looking: Captioner, asked: list[Asked]) -> None:
    """Where the encoder has a classifier, its own maps of the named kinds join the others."""
    entry = asked[0]
    mention = entry.mentions[0]
    checkpoint = with_classes(looking, (entry.sentences[mention.sentence][mention.place], "moon"))
    alone = compare(Captioner(checkpoint), asked, occlude=False, bootstrap=0)
    assert OCCLUSION not in alone.rows
    assert alone.curves == {}
    assert {measure for own in alone.rows.values() for measure in own} == {"pointing"}
    assert CAM in alone.rows
    assert 0 <= alone.rows[CAM]["pointing"].value <= 1
    own = alone.rows[ATTENTION]["pointing"].value
    for name in ("Grad-CAM", "centre", "photo's mean map"):
        gap = own - alone.rows[name]["pointing"].value
        assert alone.ahead[name]["pointing"].value == pytest.approx(gap)
    lines = str(alone).splitlines()
    assert "attention ahead, paired" in lines[0]
    assert "occlusion" not in str(alone)


def test_a_closer_look_is_asked_beside_the_others(looking: Captioner, asked: list[Asked]) -> None:
    closer = Captioner(looking.checkpoint, map_size=128)
    both = compare(closer, asked, patches=Patches(4, 2), curves_of=0, bootstrap=0)
    plain = compare(looking, asked, patches=Patches(4, 2), curves_of=0, bootstrap=0)
    assert set(both.rows) - set(plain.rows) == {CLOSER}
    for name, row in plain.rows.items():
        for measure, estimate in row.items():
            assert both.rows[name][measure].value == pytest.approx(estimate.value, nan_ok=True)
    assert -1 <= both.rows[CLOSER]["agreement"].value <= 1
    assert both.rows[CLOSER]["agreement"].value != both.rows[ATTENTION]["agreement"].value
