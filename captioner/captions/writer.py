"""The model at work: photos encoded and written about, many at once.

`Captioner` and `Look`, which people call, check and convert; what is computed is computed here.

Shapes: B photos, one memory each, h×w its grid, T words.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from captioner import devices
from captioner.captions.caption import Caption
from captioner.captions.checkpoint import Checkpoint
from captioner.captions.closer import Closer, check_map_size
from captioner.captions.inputs import check_text
from captioner.captions.interpreter import Interpreter, Way
from captioner.captions.opened import Opened
from captioner.confidence import evidence
from captioner.errors import ConfigError, shown
from captioner.nn.encoders import ImageEncoder, fold_batch_norm, normalise
from captioner.nn.memory import Memory
from captioner.options import SearchOptions
from captioner.pictures.geometry import Geometry
from captioner.runtimes.choice import Runtime, choose
from captioner.search import Hypothesis, Start, force, search
from captioner.text import UNK, detokenise, tokenise, unread
from captioner.tracing import Trace, trace
from captioner.translations.translator import Translator
from captioner.words import Word, is_content


@dataclass(frozen=True)
class Request:
    """What is asked for, checked: nothing of it is refused once photos are open."""

    options: SearchOptions
    prefix: tuple[int, ...]  # tokens that every caption starts with
    start: Start
    way: Way | None  # from the captions' language into another, where that is wanted

    @property
    def grows(self) -> bool:
        """Whether the sentence is written word by word: a beam may still change its first one."""
        return self.options.beam_size == 1 or self.options.sample


class Writer:
    """A checkpoint's model on a device. Nothing of a call stays here: threads may share it."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        translator: Translator | None = None,
        runtime: str = "auto",
        map_size: int | None = None,
    ) -> None:
        self.device = device
        self.process = os.getpid()  # that put the model there
        self.checkpoint = checkpoint
        self.vocabulary = checkpoint.vocabulary
        self.preprocess = checkpoint.preprocess
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        model.encoder.features = fold_batch_norm(model.encoder.features)
        self.model = model.to(device)
        self.runtime: Runtime = choose(runtime, self.model, self.preprocess, device)
        self.closer: Closer | None = None  # where maps are read at a size of their own
        if map_size is not None:
            size = check_map_size(checkpoint.config, map_size)
            self.closer = Closer(self.model, self.preprocess, device, runtime, size)
        self.interpreter = Interpreter(self.vocabulary, device, translator)

    def request(
        self,
        options: SearchOptions,
        *,
        prefix: str = "",
        to: str | None = None,
        batch_size: int = 1,
    ) -> Request:
        """What is asked for, once it is known that it can be done, and in this process.

        Raises:
            ConfigError: it cannot; the message says why.
            CheckpointError: a translation is wanted, and there are no weights for it.
        """
        self.check_process()
        options.check_batch(batch_size)
        check_text("prefix", prefix)
        tokens = tuple(self._known_tokens(prefix))
        start = Start(once=() if options.repeats else self._content)
        return Request(options, tokens, start, None if to is None else self.interpreter.way(to))

    def check_process(self) -> None:
        """Refuses a GPU that another process opened.

        Raises:
            ConfigError: it lies on one, and this is a forked child.
        """
        devices.check_process(self.device, self.process)

    def shared(self) -> Writer:
        """A writer for several batches at once, as many as its `at_once`, with the same model."""
        several = copy.copy(self)
        several.runtime = self.runtime.shared
        several.closer = None if self.closer is None else self.closer.shared()
        return several

    def at_once(self, request: Request) -> int:
        """How many threads may write about a batch each, without being in one another's way."""
        return 1 if request.way is not None else self.runtime.at_once

    @functools.cached_property
    def _content(self) -> tuple[int, ...]:
        """Tokens of the content words."""
        words = self.vocabulary.ordinary
        return tuple(self.vocabulary.encode(word for word in words if is_content(word)))

    def _known_tokens(self, prefix: str) -> list[int]:
        words, known = tokenise(prefix), self.vocabulary.ordinary
        unknown = [*unread(prefix), *(word for word in words if word not in self.vocabulary)]
        if unknown:
            near = (difflib.get_close_matches(word, known, n=1) for word in unknown)
            alike = ", ".join(dict.fromkeys(repr(word) for found in near for word in found))
            hint = f" (the vocabulary has {alike})" if alike else ""
            raise ConfigError(
                f"the prefix holds {', '.join(map(shown, unknown))}, which the vocabulary of "
                f"{len(known)} words lacks; choose other words{hint}"
            )
        if prefix.strip() and not words:
            raise ConfigError(
                f"the prefix {shown(prefix)} has no words; write how the caption begins"
            )
        return self.vocabulary.encode(words)

    @torch.inference_mode()
    def encode(self, photos: Sequence[Opened]) -> Memory:
        """The memory of B photos, one or more, that could be opened."""
        return self.runtime.encode(self._pixels(photos))

    @torch.inference_mode()
    def enlarged(self, photos: Sequence[Opened]) -> Memory | None:
        """What a closer look saw of B photos, where there is one; see `Closer.encode`."""
        if self.closer is None:
            return None
        pixels = np.stack([photo.enlarged for photo in photos if photo.enlarged is not None])
        return self.closer.encode(torch.from_numpy(pixels).to(self.device))

    @torch.inference_mode()
    def look(self, photo: Opened) -> tuple[Memory, NDArray[np.float32] | None]:
        """The memory of a photo, and what its cells looked at in one another, (L, H, N, N).

        The latter is None where no layer refines the grid.
        """
        encoder = self.model.encoder
        if not isinstance(encoder, ImageEncoder) or encoder.refine is None:
            return self.encode([photo]), None
        pixels = normalise(self._pixels([photo]), self.preprocess.mean, self.preprocess.std)
        memory, looks = encoder.look(encoder.grid(pixels))
        return memory, torch.cat(list(looks)).float().cpu().numpy()

    def _pixels(self, photos: Sequence[Opened]) -> torch.Tensor:
        """The pixels of B photos, (B, 3, S, S), from 0 to 255."""
        pixels = np.stack([photo.pixels for photo in photos if photo.pixels is not None])
        return torch.from_numpy(pixels).to(self.device)

    def write(
        self,
        memory: Memory,
        photos: Sequence[Opened],
        request: Request,
        numbers: Sequence[int] | None = None,
        enlarged: Memory | None = None,
    ) -> list[Caption]:
        """Captions of B photos, translated where that is wanted.

        Args:
            memory: of the photos.
            photos: where it comes from.
            request: what is asked for.
            numbers: the photos' own numbers, which seed their draws; left out, 0 to B − 1.
            enlarged: what a closer look saw of them; left out, maps are those of the search.
        """
        found = search(
            self.runtime.decoder, memory, request.options, request.prefix, numbers, request.start
        )
        grid, found = self._mapped(memory, found, enlarged)
        captions = [
            self._judged(self._caption(grid, photo, hypotheses), kinds)
            for photo, hypotheses, kinds in zip(
                photos, found, _recognised(memory, len(photos)), strict=True
            )
        ]
        if request.way is None:
            return captions
        return list(self.interpreter.translated(captions, request.way))

    def explain(
        self,
        memory: Memory,
        photos: Sequence[Opened],
        sentences: Sequence[Sequence[str]],
        alternatives: int,
        enlarged: Memory | None = None,
    ) -> list[Caption]:
        """What the model thinks of a sentence, in words, about each of B photos."""
        tokens = [self.vocabulary.encode(words) for words in sentences]
        read = force(self.model.decoder, memory, tokens, alternatives=alternatives)
        grid, found = self._mapped(memory, [[one] for one in read], enlarged)
        return [
            self._caption(grid, photo, hypotheses, words)
            for photo, hypotheses, words in zip(photos, found, sentences, strict=True)
        ]

    def _mapped(
        self, memory: Memory, found: list[list[Hypothesis]], enlarged: Memory | None
    ) -> tuple[tuple[int, int], list[list[Hypothesis]]]:
        """The grid of the maps, and hypotheses that show them."""
        assert memory.grid is not None
        if self.closer is not None and enlarged is not None and enlarged.grid is not None:
            return enlarged.grid, self.closer.read(enlarged, memory.grid, found)
        return memory.grid, found

    def trace(self, memory: Memory, words: Sequence[str], alternatives: int) -> Trace:
        """Every step of a sentence about one photo, see `captioner.tracing`."""
        tokens = self.vocabulary.encode(words)
        return trace(self.model.decoder, memory, tokens, alternatives=alternatives)

    def _judged(self, caption: Caption, kinds: Sequence[float] | None) -> Caption:
        """The caption that was written, with how sure it can be."""
        found = evidence(caption.words, caption.log_prob, kinds)
        calibrated = self.checkpoint.confidence
        if calibrated is None:
            return dataclasses.replace(caption, evidence=found)
        chance = calibrated.of(found)
        unsure = chance < calibrated.threshold
        return dataclasses.replace(caption, evidence=found, confidence=chance, unsure=unsure)

    def _caption(
        self,
        grid: tuple[int, int],
        opened: Opened,
        hypotheses: Sequence[Hypothesis],
        words: Sequence[str] | None = None,
    ) -> Caption:
        geometry = Geometry(opened.size, grid)
        captions = [self._result(h, opened, geometry, words) for h in hypotheses]
        return dataclasses.replace(captions[0], n_best=tuple(captions[1:]))

    def _result(
        self, found: Hypothesis, opened: Opened, geometry: Geometry, words: Sequence[str] | None
    ) -> Caption:
        texts = self.vocabulary.decode(found.tokens) if words is None else words
        maps = found.weights.mean(1).reshape(-1, *geometry.grid)  # heads share one map
        gates = found.extras.get("gate")
        return Caption(
            text=detokenise(texts),
            words=tuple(self._word(found, place, text) for place, text in enumerate(texts)),
            log_prob=found.log_prob,
            maps=maps / maps.sum((1, 2), keepdims=True),
            file=opened.file,
            geometry=geometry,
            gates=None if gates is None else gates[:, 0],
            source=opened.source,
            note=opened.note,
        )

    def _word(self, found: Hypothesis, place: int, text: str) -> Word:
        others = self.vocabulary.decode(found.alternatives[place].tolist())
        probs = found.alternative_probs[place].tolist()
        alternatives = tuple((_shown(o), p) for o, p in zip(others, probs, strict=True))
        if found.tokens[place] == UNK:
            return Word(text, None, None, alternatives, known=False)
        log_prob = float(found.log_probs[place])
        shares = found.extras.get("copy_share")
        copied = None if shares is None else float(shares[place])
        return Word(text, float(np.exp(log_prob)), log_prob, alternatives, copy_share=copied)


def _recognised(memory: Memory, photos: int) -> Sequence[Sequence[float] | None]:
    """What the classifier says of each photo, as `confidence.RECOGNISING` names it."""
    if memory.kinds is None:
        return [None] * photos
    energy = memory.kinds.float().logsumexp(-1)  # (B,)
    log_probs = memory.kinds.float() - energy.unsqueeze(-1)  # (B, C)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    found: list[list[float]] = torch.stack([log_probs.amax(-1), entropy, energy], -1).tolist()
    return found


def _shown(word: str) -> str:
    """An alternative as people read it: ending the sentence here is a full stop."""
    return "." if word == "<eos>" else word
