"""Training a translator: sentences learned by heart, and runs that go on where they stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nltk.translate.gleu_score import sentence_gleu
from torch.nn import functional as F

from captioner import checkpoint as checkpoints
from captioner import metrics, settings
from captioner.checkpoint import TranslationCheckpoint
from captioner.errors import CheckpointError, ConfigError, DataError, MetricError
from captioner.languages import Languages
from captioner.metrics import Score
from captioner.options import SearchOptions
from captioner.search import Start, search
from captioner.text import EOS
from captioner.training import Interrupted, state, train
from captioner.training.callbacks import Interrupt, Save, Watch
from captioner.training.loop import Callback
from captioner.translation import Translation, Translator
from captioner.translations.pairs import Pair, PairReader, read_pairs
from captioner.translations.recipe import TranslationRecipe
from captioner.translations.start import read_directions, start_checkpoint
from captioner.translations.training import (
    TranslationTrainer,
    TranslationValidation,
)
from tests.runs import Recorder, equal_runs, log, logged, logged_steps
from tests.runs import no_fsync as no_fsync

Phrases = dict[str, tuple[str, ...]]

SIZES = {
    "encoder": {"hidden_size": 11, "dropout": 0.2, "word_dropout": 0.1},
    "decoder": {"hidden_size": 22, "embedding_size": 17, "dropout": 0.3, "word_dropout": 0.1},
}


@pytest.fixture(scope="module")
def corpus(phrases: Phrases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each language, and one with German to come."""
    folder = tmp_path_factory.mktemp("corpus")
    for language, sentences in phrases.items():
        text = "\n".join(sentences) + "\n"
        (folder / f"train.{language}").write_text(text, encoding="utf-8")
        (folder / f"val.{language}").write_text("\n".join(sentences[:3]), encoding="utf-8")
    return folder


def source(folder: Path, one: str, other: str, split: str = "train", **more: Any) -> dict[str, Any]:
    files = {"source": str(folder / f"{split}.{one}"), "target": str(folder / f"{split}.{other}")}
    return {**files, "languages": [one, other], **more}


def recipe(corpus: Path, output: Path, **changes: Any) -> TranslationRecipe:
    """Fourteen pairs in three steps an epoch, two epochs and two phases."""
    values: dict[str, Any] = {
        "output": str(output),
        "seed": 3,
        "data": {
            "train": [source(corpus, "en", "de"), source(corpus, "fr", "en")],
            "validation": [
                source(corpus, "en", "de", "val"),
                source(corpus, "fr", "en", "val"),
            ],
            "subwords": 150,
            "byte_fallback": False,
        },
        "model": SIZES,
        "training": {"batch_tokens": 150, "save_steps": 2, "weight_average": 0.9},
        "search": {"beam_size": 1, "max_length": 7, "alternatives": 0},
        "phases": [
            {"name": "first", "epochs": 1},
            {"name": "second", "epochs": 1, "r_drop": 0.7, "learning_rate": 3e-3},
        ],
    }
    for name, value in changes.items():
        old = values.get(name)
        values[name] = {**old, **value} if isinstance(old, dict) else value
    return settings.from_dict(TranslationRecipe, values)


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "uninterrupted"
    assert train(recipe(corpus, folder)) == folder / "best.safetensors"
    return folder


def trainer_of(wanted: TranslationRecipe, *callbacks: Callback) -> TranslationTrainer:
    sets = [read_pairs(entry) for entry in wanted.data.train]
    torch.manual_seed(wanted.seed)
    checkpoint = start_checkpoint(wanted, sets)
    reader = PairReader(
        sets, checkpoint.subwords, batch_tokens=wanted.training.batch_tokens, seed=wanted.seed
    )
    return TranslationTrainer(wanted, checkpoint, reader, callbacks)


# ---- sentences learned by heart ------------------------------------------------------------------


def validated_at_the_end(self: TranslationValidation, trainer: Any, entry: dict[str, Any]) -> None:
    if trainer.progress.position.epoch + 1 == trainer.phase.epochs:
        VALIDATED(self, trainer, entry)
    else:  # no time for it
        entry |= dict.fromkeys(self.logged, 0.0)


VALIDATED = TranslationValidation.on_epoch
LEARNER: dict[str, Any] = {
    "model": {
        "encoder": {"hidden_size": 32, "dropout": 0.0},
        "decoder": {"hidden_size": 64, "embedding_size": 64, "dropout": 0.0},
    },
    "training": {
        "batch_tokens": 9999,
        "label_smoothing": 0.0,
        "weight_average": 0.5,
        "save_steps": 0,
    },
    "search": {"beam_size": 2, "max_length": 60, "alternatives": 0},
}


def test_sentences_learned_by_heart_come_back(
    corpus: Path, phrases: Phrases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TranslationValidation, "on_epoch", validated_at_the_end)
    monkeypatch.setattr(Save, "after_epoch", lambda *_: None)
    own = [source(corpus, "en", "de"), source(corpus, "fr", "en")]
    data = {"train": own, "validation": own}
    phases = [{"epochs": 120, "learning_rate": 1.2e-2}]
    learned = train(recipe(corpus, tmp_path / "run", data=data, phases=phases, **LEARNER))
    scores = checkpoints.describe(learned)["provenance"]["scores"]["validation"]
    assert scores["bleu"]["value"] > 0.99
    translator = Translator.load(learned)
    for one, other in (("en", "de"), ("fr", "en")):
        said = [found.text for found in translator.stream(phrases[one], to=other)]
        assert said == list(phrases[other])


def test_a_checkpoint_learns_a_direction_and_keeps_the_old_ones(
    translation_weights: str,
    corpus: Path,
    phrases: Phrases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TranslationValidation, "on_epoch", validated_at_the_end)
    monkeypatch.setattr(Save, "after_epoch", lambda *_: None)
    directions = (("en", "de"), ("fr", "en"), ("de", "en"))
    wanted = recipe(
        corpus,
        tmp_path / "run",
        init=translation_weights,
        data={
            "train": [source(corpus, *names) for names in directions],
            "validation": [source(corpus, "de", "en")],
            "subwords": 999,  # of a new model, so not of this one
        },
        phases=[{"epochs": 50, "learning_rate": 5e-3}],
        # The checkpoint was trained without dropout.
        **{**LEARNER, "model": {"encoder": {"layers": 1}, "decoder": {"dropout": 0.01}}},
    )
    before, after = map(checkpoints.load_translation, (translation_weights, train(wanted)))
    changed = dataclasses.replace(before.config.decoder, dropout=0.01)
    assert after.config == dataclasses.replace(before.config, decoder=changed)
    assert after.provenance["recipe"]["model"] == settings.to_dict(after.config)
    assert after.subwords == before.subwords
    assert after.languages.directions == (("en", "de"), ("en", "fr"), ("fr", "en"), ("de", "en"))
    assert after.languages.names == before.languages.names
    assert (after.languages.counts == 2 * before.languages.counts).all()  # both have read it all
    assert after.provenance["started_from"]["checkpoint"] == Path(translation_weights).name
    assert "scores" in after.provenance["started_from"]
    translator = Translator(after)
    for one, other in directions:
        said = [found.text for found in translator.stream(phrases[one], to=other)]
        assert said == list(phrases[other])
    with pytest.raises(ConfigError, match="does not translate 'de' into 'en'"):
        Translator(before)("Ein Hund", to="en", source_language="de")


def test_a_checkpoint_is_no_other_model(
    translation_weights: str, corpus: Path, tmp_path: Path
) -> None:
    wanted = recipe(corpus, tmp_path, init=translation_weights, model={"encoder": {"layers": 2}})
    with pytest.raises(ConfigError) as caught:
        start_checkpoint(wanted, [])
    assert str(caught.value) == (
        "model.encoder.layers is 2, but translate.safetensors, which the run starts from, "
        "has 1; leave the setting out, or leave out init to train a new model"
    )


def test_a_checkpoint_cannot_learn_to_write_a_new_language(
    translation_weights: str, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.en").write_text("A dog.\n")
    (tmp_path / "train.cs").write_text("Pes.\n")
    own = {"train": [source(tmp_path, "en", "cs")], "validation": [source(tmp_path, "en", "cs")]}
    with pytest.raises(ConfigError, match="'cs' is no language of this model; it writes en, de, f"):
        train(recipe(corpus, tmp_path / "run", init=translation_weights, data=own, **LEARNER))


# ---- what training starts from -------------------------------------------------------------------


def test_a_new_checkpoint(corpus: Path, tmp_path: Path, phrases: Phrases) -> None:
    wanted = recipe(corpus, tmp_path)
    sets = [read_pairs(entry) for entry in wanted.data.train]
    found = start_checkpoint(wanted, sets)
    assert found.subwords.languages == ("en", "de", "fr")
    size = len(found.subwords)
    assert 100 < size <= 150
    assert found.languages.directions == (("en", "de"), ("fr", "en"))
    expected = {
        name: [found.subwords.encode(text).ids for text in phrases[name]]
        for name in ("en", "de", "fr")
    }
    counts = Languages.count([], expected, size).counts  # each sentence once, however often used
    assert found.languages.names == ("en", "de", "fr")
    assert (found.languages.counts == counts).all()
    assert found.search.alternatives == 5  # wanted by people, not in validation
    assert found.search.max_length == 7


def words(language: str, count: int) -> list[str]:
    """Words of letters that no other language uses."""
    letters = {"en": "abcdefgh", "de": "klmnopqr", "fr": "stuvwxyz"}[language]
    rng = np.random.default_rng(len(language) + ord(letters[0]))
    return ["".join(rng.choice(list(letters), 5)) for _ in range(count)]


def test_a_large_set_of_which_little_is_drawn_does_not_dominate_the_pieces(tmp_path: Path) -> None:
    """Both directions have a say in proportion to what an epoch holds of them."""
    small, large = 40, 1200
    texts = {name: words(name, large) for name in ("en", "de", "fr")}
    pairs = {
        other: [Pair(*both, "en", other) for both in zip(texts["en"], texts[other], strict=True)]
        for other in ("de", "fr")
    }
    sets = [pairs["de"][:small] * 3, pairs["fr"]]

    def pieces(share: float) -> dict[str, int]:
        """How many pieces of several letters each language gets."""
        data = {
            "train": [
                {"source": "x", "target": "x", "languages": ["en", "de"]},
                {"source": "x", "target": "x", "languages": ["en", "fr"], "share": share},
            ],
            "subwords": 130,
            "byte_fallback": False,
        }
        found = start_checkpoint(recipe(tmp_path, tmp_path, data=data), sets).subwords
        long = [piece.strip("▁") for piece in found.pieces[7:] if len(piece.strip("▁")) > 1]
        letters = {name: set("".join(several)) for name, several in texts.items()}
        return {name: sum(set(piece) <= own for piece in long) for name, own in letters.items()}

    everything, little = pieces(1.0), pieces(40.0)
    assert everything["fr"] > 5 * everything["de"]
    assert little["de"] > 3 * everything["de"]
    assert 0.5 < little["fr"] / little["de"] < 2


def test_validation_pairs_are_limited_by_direction(corpus: Path, tmp_path: Path) -> None:
    data = {
        "validation": [source(corpus, "en", "de"), source(corpus, "fr", "en", "val")],
        "validation_pairs": 5,
    }
    found = read_directions(recipe(corpus, tmp_path, data=data))
    assert list(found) == [("en", "de"), ("fr", "en")]
    assert [len(pairs) for pairs in found.values()] == [5, 3]
    sources = recipe(corpus, tmp_path, data=data).data.validation
    every = [pair for entry in sources for pair in read_pairs(entry)]
    places = [every.index(pair) for pair in found["en", "de"]]
    assert places == sorted(places)
    assert found == read_directions(recipe(corpus, tmp_path, data=data))


# ---- a step --------------------------------------------------------------------------------------


def log_probs(logits: torch.Tensor) -> np.ndarray:
    values = logits.detach().double().numpy()
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


@pytest.mark.parametrize("weight", [0.0, 1.7])
def test_the_loss_is_numpys(weight: float, corpus: Path, tmp_path: Path) -> None:
    wanted = recipe(corpus, tmp_path, phases=[{"r_drop": weight}])
    trainer = trainer_of(wanted)
    batch = next(trainer.batches(0, 0))
    torch.manual_seed(11)
    found = {name: value.detach() for name, value in trainer.loss(batch).items()}
    torch.manual_seed(11)  # the same dropout again
    given = (batch.sources, batch.source_lengths, batch.inputs, batch.lengths)
    passes = [trainer.model(*given).logits for _ in range(2 if weight else 1)]
    own = [log_probs(logits.data) for logits in passes]
    said = F.one_hot(
        torch.nn.utils.rnn.pack_padded_sequence(
            batch.targets, batch.lengths, batch_first=True, enforce_sorted=False
        ).data,
        len(trainer.checkpoint.subwords),
    ).numpy()
    wanted_shares = 0.9 * said + 0.1 / said.shape[1]
    cross_entropy = np.mean([-(wanted_shares * each).sum(-1).mean() for each in own])
    assert float(found["cross_entropy"]) == pytest.approx(cross_entropy, rel=1e-5)
    if not weight:
        assert found.keys() == {"loss", "cross_entropy"}
        assert torch.equal(found["loss"], found["cross_entropy"])
        return
    one, other = own
    apart = ((np.exp(one) - np.exp(other)) * (one - other)).sum(-1).mean() / 2
    assert apart > 1e-3
    assert float(found["r_drop"]) == pytest.approx(apart, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(cross_entropy + weight * apart, rel=1e-5)


def test_r_drop_brings_two_passes_together(corpus: Path, tmp_path: Path) -> None:
    apart = {}
    for weight in (1e-9, 50.0):
        recorder = Recorder()
        phases = [{"epochs": 5, "learning_rate": 3e-3, "r_drop": weight}]
        trainer_of(recipe(corpus, tmp_path, phases=phases), recorder).fit()
        apart[weight] = recorder.losses[-1]["r_drop"]
    assert apart[50.0] < 0.8 * apart[1e-9]


KNOWING = {"warmup": 0.0, "schedule": "constant", "learning_rate": 5e-3, "epochs": 9}


def knowing(corpus: Path, output: Path, **critical: Any) -> TranslationTrainer:
    """A trainer that has seen a bit of the sentences, at the beginning of its second phase."""
    trainer = trainer_of(recipe(corpus, output, phases=[KNOWING, {**KNOWING, **critical}]))
    batches = list(trainer.batches(0, 0))
    for step in range(18):
        trainer.step(batches[step % len(batches)])
    trainer.enter(trainer.recipe.phases[1])
    return trainer


def test_the_self_critical_loss_by_hand(corpus: Path, tmp_path: Path) -> None:
    """Drawn, judged and weighed one by one; the rest of the loss stays cross-entropy."""
    extra = 2
    critical = {"self_critical": 0.4, "samples": 3, "temperature": 0.8, "extra_length": extra}
    trainer = knowing(corpus, tmp_path, **critical)
    batch = next(trainer.batches(0, 0))
    trainer.progress.position.total_steps = 7
    for module in trainer.model.encoder.modules():  # what it drops, the memory lacks in both
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout1d):
            module.p = 0.0
    assert trainer.model.decoder.dropout.p > 0  # which neither drawing nor scoring may feel
    found = trainer.loss(batch)
    trainer.model.eval()
    with torch.no_grad():
        memory = trainer.model.encoder(batch.sources, batch.source_lengths)
    options = SearchOptions(
        sample=True,
        top_p=1.0,
        temperature=0.8,
        n_best=3,
        max_length=int(batch.lengths.max()) + extra,
        alternatives=0,
        seed=3,
    )
    count = len(memory)
    starts = batch.inputs[:, 0].tolist()
    every = [trainer.checkpoint.subwords.start(x) for x in trainer.checkpoint.subwords.languages]
    drawn = search(
        trainer.model.decoder,
        memory,
        options,
        indices=range(7 * 150, 7 * 150 + count),
        start=Start(starts, every),
    )
    all_rewards, terms, cut = [], [], 0
    for row, hypotheses in enumerate(drawn):
        wanted = batch.targets[row, : batch.lengths[row]].tolist()
        said = [[*one.tokens, EOS][: options.max_length] for one in hypotheses]
        cut += sum(one[-1] != EOS for one in said)
        rewards = [sentence_gleu([wanted], one) for one in said]
        all_rewards += rewards
        for place, one in enumerate(said):
            advantage = rewards[place] - np.delete(rewards, place).mean()
            tokens, length = torch.tensor([[starts[row], *one]]), torch.tensor([len(one)])
            with torch.no_grad():
                unrolled = trainer.model.decoder(
                    tokens[:, :-1], length, memory.select(slice(row, row + 1))
                )
            logits = unrolled.padded_logits()[0] / 0.8
            logits[:, [0, 1, 3, *every]] = -torch.inf  # padding, start, unknown word, languages
            own = log_probs(logits)
            chosen = own[np.arange(len(own)), tokens[0, 1:].numpy()]
            terms += (-advantage * chosen).tolist()
    assert 0 < cut < len(all_rewards)
    assert np.std(all_rewards) > 0.01
    assert float(found["reward"]) == pytest.approx(np.mean(all_rewards))
    critical = found["self_critical"].detach()
    assert float(critical) == pytest.approx(np.mean(terms), rel=1e-3, abs=1e-5)
    torch.testing.assert_close(found["loss"], 0.6 * found["cross_entropy"] + 0.4 * critical)


def test_the_reward_reaches_decoder_and_encoder(corpus: Path, tmp_path: Path) -> None:
    trainer = knowing(corpus, tmp_path, self_critical=1.0)
    found = trainer.loss(next(trainer.batches(0, 0)))
    assert found["reward"] > 0
    assert torch.equal(found["loss"], found["self_critical"])
    found["loss"].backward()
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    assert bool(trainer.model.encoder.network.weight_hh_l0.grad.any())
    assert trainer.model.decoder.training  # drawing does not leave it evaluating


def test_self_critical_steps_raise_the_reward(corpus: Path, tmp_path: Path) -> None:
    trainer = knowing(corpus, tmp_path, self_critical=1.0, samples=20, learning_rate=2e-3)
    batches, rewards = list(trainer.batches(0, 0)), []
    for step in range(60):
        rewards.append(float(trainer.step(batches[step % len(batches)])["reward"]))
        trainer.progress.position.total_steps += 1
    assert sum(rewards[-12:]) > 1.2 * sum(rewards[:12]) > 0


def test_bfloat16_trains(corpus: Path, tmp_path: Path) -> None:
    wanted = recipe(corpus, tmp_path, training={"precision": "bfloat16"})
    recorder = Recorder()
    trainer_of(wanted, recorder).fit()
    assert all(np.isfinite(found["loss"]) for found in recorder.losses)


def test_the_digest_is_of_pairs_and_pieces(corpus: Path, tmp_path: Path) -> None:
    trainer = trainer_of(recipe(corpus, tmp_path))
    digests = {trainer.data_digest, trainer_of(recipe(corpus, tmp_path)).data_digest}
    assert len(digests) == 1
    for change in ({"train": [source(corpus, "en", "de")]}, {"subwords": 140}):
        digests.add(trainer_of(recipe(corpus, tmp_path, data=change)).data_digest)
    assert len(digests) == 3


# ---- validation ----------------------------------------------------------------------------------


def test_scores_are_those_of_the_averaged_weights(
    corpus: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    wanted = recipe(corpus, uninterrupted)
    trainer = trainer_of(wanted)
    state.load_state(trainer, uninterrupted / "resume.safetensors")
    directions = read_directions(wanted)
    validation = TranslationValidation(directions, Watch(tmp_path, False, Interrupt()))
    assert validation.logged == ("bleu", "bleu_en_de", "bleu_fr_en")
    found = validation.scores(trainer)
    translator = Translator(trainer.averaged())
    values = []
    for (one, other), pairs in directions.items():
        stream = translator.stream(
            [pair.source_text for pair in pairs],
            to=other,
            source_language=one,
            **dataclasses.asdict(wanted.search),
        )
        said = [each.text for each in stream]
        wanted_texts = [pair.target_text for pair in pairs]
        expected = metrics.score_translations(said, wanted_texts, other, names=("bleu",))["bleu"]
        assert found[f"bleu_{one}_{other}"].value == pytest.approx(expected.value)
        values.append(expected.value)
    assert found["bleu"].value == pytest.approx(np.mean(values))
    assert found["bleu"].recipe == "mean over en→de, fr→en"


def test_without_the_tokeniser_there_is_no_score(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> dict[str, Score]:
        return {"bleu": Score("bleu", float("nan"), None, "sacremoses is not installed; pip …")}

    monkeypatch.setattr(metrics, "score_translations", missing)
    wanted = recipe(corpus, tmp_path)
    validation = TranslationValidation(read_directions(wanted), Watch(tmp_path, False, Interrupt()))
    with pytest.raises(MetricError, match="sacremoses is not installed"):
        validation.scores(trainer_of(wanted))


# ---- going on after Ctrl-C -----------------------------------------------------------------------


@pytest.fixture
def press(keyboard: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Moments at which Ctrl-C is pressed, one a session."""
    stream = Translator.stream

    def told(self: Translator, *arguments: Any, **settings: Any) -> Iterator[Translation]:
        for found in stream(self, *arguments, **settings):
            keyboard.at("validation")
            yield found

    monkeypatch.setattr(Translator, "stream", told)
    moments: list[str] = keyboard.moments
    return moments


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    press: list[str], corpus: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """Stopped at every step, in the validation and between the phases."""
    steps = int(log(uninterrupted)[-1]["step"])
    assert steps == 6
    wanted = recipe(corpus, tmp_path / "run")
    # After the epoch it is too late for that epoch: the run stops behind step 4.
    moments = ["step 1", "step 2", "step 3", "validation", "after epoch 1", "step 5", "step 6"]
    for session, moment in enumerate(moments):
        press.append(moment)
        with pytest.raises(Interrupted, match=r"stopped and saved in .*run; .*--resume"):
            train(wanted, resume=session > 0)
        assert not press
    train(wanted, resume=True)
    assert equal_runs(tmp_path / "run", uninterrupted)
    assert logged_steps(tmp_path / "run") == list(range(1, steps + 1))


def test_draws_by_temperature_go_on_where_they_stopped(
    press: list[str], corpus: Path, tmp_path: Path
) -> None:
    """The second phase has fewer steps than the first, and favours what is turned to English."""
    train_on = [source(corpus, "en", "de"), source(corpus, "fr", "en", group="french")]
    changes: dict[str, Any] = {
        "data": {"train": train_on, "epoch_pairs": 30, "temperature": 2.0},
        "phases": [{"epochs": 1}, {"epochs": 1, "pairs": 12, "favours": "french"}],
    }
    whole, parts = (recipe(corpus, tmp_path / name, **changes) for name in ("whole", "parts"))
    train(whole)
    first, last = (int(row["step"]) for row in log(tmp_path / "whole"))
    assert first > last - first > 1
    for session, moment in enumerate(("step 2", f"step {last - 1}")):
        press.append(moment)
        with pytest.raises(Interrupted):
            train(parts, resume=session > 0)
    train(parts, resume=True)
    assert equal_runs(tmp_path / "parts", tmp_path / "whole")
    trainer = trainer_of(whole)
    trainer.enter(whole.phases[1])
    drawn = sum(len(batch.lengths) for batch in trainer.batches(1, 0))
    assert drawn == 12


def test_words_that_a_step_draws_are_drawn_again(
    press: list[str], corpus: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"training": {"sampled_words": 20}, "phases": [{"epochs": 1}]}
    whole, parts = (recipe(corpus, tmp_path / name, **changes) for name in ("whole", "parts"))
    train(whole)
    press.append("step 2")
    with pytest.raises(Interrupted):
        train(parts)
    train(parts, resume=True)
    assert equal_runs(tmp_path / "parts", tmp_path / "whole")


# ---- what a run leaves in its folder -------------------------------------------------------------


def test_files_of_a_run(uninterrupted: Path) -> None:
    rows = log(uninterrupted)
    assert [(row["phase"], row["epoch"], row["step"]) for row in rows] == [
        ("first", "1", "3"),
        ("second", "1", "6"),
    ]
    for row in rows:
        assert 0 <= float(row["bleu_en_de"]) <= 1
        both = float(row["bleu_en_de"]) + float(row["bleu_fr_en"])
        assert float(row["bleu"]) == pytest.approx(both / 2)
    names = {path.name for path in uninterrupted.iterdir() if not path.name.startswith("events")}
    assert names == {"best.safetensors", "last.safetensors", "resume.safetensors", "log.csv"}
    assert logged(uninterrupted) >= {
        "train/loss",
        "train/cross_entropy",
        "train/r_drop",
        "train/learning_rate",
        "epoch/bleu",
        "epoch/bleu_en_de",
        "epoch/bleu_fr_en",
    }


def test_a_checkpoint_tells_how_it_was_made(corpus: Path, uninterrupted: Path) -> None:
    told = checkpoints.describe(uninterrupted / "last.safetensors")
    made = told["provenance"]
    assert told["task"] == "translate"
    assert made["pairs"] == 14
    assert (made["phase"], made["epoch"]) == ("second", 1)
    scores = made["scores"]["validation"]
    assert list(scores) == ["bleu", "bleu_en_de", "bleu_fr_en"]
    assert scores["bleu_en_de"]["recipe"].startswith("BLEU-4, corpus")
    assert made["recipe"]["data"]["train"][0]["source"] == "train.en"
    assert str(corpus) not in json.dumps(made)
    assert told["search"]["alternatives"] == 5
    loaded = checkpoints.load_translation(uninterrupted / "last.safetensors")
    assert isinstance(loaded, TranslationCheckpoint)
    assert loaded.model.encoder.embedding is loaded.model.decoder.embedding


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"data": {"train": []}},
            ConfigError,
            r"the recipe names no training pairs; write \[\[data.train\]\] with source, target",
        ),
        (
            {"data": {"validation": []}},
            ConfigError,
            r"names no validation pairs; write \[\[data.validation\]\] .* part = \"held_out\"",
        ),
        (
            {"data": {"max_pieces": 1}},
            DataError,
            "none of 14 pairs has at most 1 pieces on both sides",
        ),
        ({"data": {"subwords": 9}}, ConfigError, "9 subwords are too few: 7 are special tokens"),
        (
            {"data": {"subwords": 150, "byte_fallback": True}},
            ConfigError,
            "150 subwords are too few: 7 are special tokens and 256 bytes; ask for a few thousand, "
            "or set byte_fallback = false",
        ),
        ({"init": "none.safetensors"}, CheckpointError, "none.safetensors: no such file"),
    ],
)
def test_recipes_that_cannot_be(
    changes: dict[str, Any], error: type[Exception], message: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message) as caught:
        train(recipe(corpus, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value)


def test_languages_that_do_not_go_together(corpus: Path, tmp_path: Path) -> None:
    data = {"validation": [source(corpus, "en", "fr", "val")]}
    with pytest.raises(ConfigError, match="does not translate into 'fr'; it translates en → de, f"):
        train(recipe(corpus, tmp_path / "one", data=data))
    odd = [{**source(corpus, "en", "de"), "languages": ["English", "de"]}]
    with pytest.raises(ConfigError, match="'English' is no language code; expected one like en"):
        train(recipe(corpus, tmp_path / "other", data={"train": odd}))


def test_files_that_are_not_there(corpus: Path, tmp_path: Path) -> None:
    for part in ("train", "validation"):
        data = {part: [source(corpus, "en", "cs")]}
        with pytest.raises(DataError, match=r"train\.cs: no such file; expected sentences, one a"):
            train(recipe(corpus, tmp_path / part, data=data))


def test_a_captioners_checkpoint_is_no_start(
    corpus: Path, tmp_path: Path, tiny_checkpoint: checkpoints.Checkpoint
) -> None:
    checkpoints.save(tiny_checkpoint, tmp_path / "caption.safetensors")
    wanted = recipe(corpus, tmp_path / "run", init=str(tmp_path / "caption.safetensors"))
    with pytest.raises(CheckpointError, match="a checkpoint for 'caption'; expected one for 'tran"):
        train(wanted)


def test_other_pairs_or_settings_cannot_go_on(corpus: Path, uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match=r"had model\.encoder\.hidden_size = 11, the recipe"):
        train(recipe(corpus, uninterrupted, model={"encoder": {"hidden_size": 13}}), resume=True)
    trainer = trainer_of(recipe(corpus, uninterrupted))
    state.load_state(trainer, uninterrupted / "resume.safetensors")
    trainer = trainer_of(recipe(corpus, uninterrupted))
    first = trainer.reader.pairs[0]
    trainer.reader.pairs[0] = dataclasses.replace(first, source_text="Something else.")
    with pytest.raises(CheckpointError, match="are not those of the interrupted run; put them bac"):
        state.load_state(trainer, uninterrupted / "resume.safetensors")
