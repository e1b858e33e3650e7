"""From pieces to whole words: what a search found, as a translation that people read.

Shapes: S source words, T target words, N positions of the memory (the source's pieces and its end,
then a photo's cells), P pieces of the translation, h×w a photo's grid.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from captioner.search import Hypothesis
from captioner.sights import Sight
from captioner.subwords import SPACE, UNREADABLE, Pieces, Subwords
from captioner.text import EOS, SPECIALS, UNK
from captioner.translations.doubts import lost_words
from captioner.translations.reader import Line, Reader
from captioner.translations.translation import Seen, Translation
from captioner.words import Word

END = "(end)"  # how an alternative reads that would end the sentence


class Merger:
    """Makes translations of hypotheses."""

    def __init__(self, subwords: Subwords, reader: Reader) -> None:
        self.subwords, self.reader = subwords, reader

    def translation(
        self, line: Line, hypotheses: Sequence[Hypothesis], to: str, guessed: bool
    ) -> Translation:
        """What a search found of a sentence, best first, as people read it."""
        said = []
        for hypothesis in hypotheses:
            text, target = self.subwords.decode(hypothesis.tokens)
            one = self.merged(line, hypothesis, text, target, to, guessed)
            whole = (line.warning, self.reader.answer_warning(line, target, to))
            told = "; ".join(filter(None, (*whole, self._lost(line, one))))
            said.append(dataclasses.replace(one, warning=told or None, astray=any(whole)))
        return dataclasses.replace(said[0], n_best=tuple(said[1:]))

    def _lost(self, line: Line, one: Translation) -> str | None:
        """What an answer guesses or leaves out; of capitals, names cannot be told."""
        names = line.language != "de" and not line.text.isupper()
        texts = line.text, one.text
        return lost_words(line.pieces, one.words, texts, one.alignment, self.subwords, names=names)

    def merged(
        self, line: Line, found: Hypothesis, text: str, target: Pieces, to: str, guessed: bool
    ) -> Translation:
        """Whole words: sums over a source word's pieces, the mean over a target word's."""
        source = line.pieces
        looked = found.weights.mean(1)[:, : len(source.ids) + 1].astype(np.float64)  # (P, N)
        by_source = np.zeros((looked.shape[1], len(source.words) + 1))
        by_source[np.arange(looked.shape[1]), [*source.owners, len(source.words)]] = 1
        by_target = np.zeros((len(target.words), len(looked)))
        by_target[list(target.owners), np.arange(len(target.owners))] = 1
        by_target /= by_target.sum(1, keepdims=True)
        merged = by_target @ looked @ by_source  # (T, S + 1)
        seen = None
        if line.sight is not None:
            seen = _seen(by_target @ found.weights.mean(1).astype(np.float64), line.sight)
        alignment = merged[:, :-1] + np.finfo(np.float32).tiny  # all may be on the end
        alignment /= alignment.sum(1, keepdims=True)
        return Translation(
            text=text,
            source_words=source.words,
            words=tuple(self._word(found, target, word) for word in range(len(target.words))),
            alignment=alignment.astype(np.float32),
            end_mass=merged[:, -1].astype(np.float32),
            log_prob=found.log_prob,
            pieces=len(found.tokens),
            source=line.text,
            source_language=line.language,
            target_language=to,
            guessed=guessed,
            seen=seen,
        )

    def _word(self, found: Hypothesis, target: Pieces, word: int) -> Word:
        """The product of its pieces' probabilities; what else could have begun there."""
        places = [place for place, owner in enumerate(target.owners) if owner == word]
        others = found.alternatives[places[0]].tolist()
        probs = found.alternative_probs[places[0]].tolist()
        alternatives = tuple((self._shown(o), p) for o, p in zip(others, probs, strict=True))
        if any(found.tokens[place] == UNK for place in places):
            return Word(target.words[word], None, None, alternatives, known=False)
        log_prob = float(found.log_probs[places].sum(dtype=np.float64))
        return Word(target.words[word], float(np.exp(log_prob)), log_prob, alternatives)

    def _shown(self, piece: int) -> str:
        if self.subwords.is_byte(piece):
            return self.subwords.pieces[piece]
        return END if piece == EOS else self.subwords.decode([piece])[0]

    def piece(self, number: int) -> str:
        """A piece as people read it; a lone space is shown as one."""
        if number < len(SPECIALS):
            return SPECIALS[EOS] if number == EOS else UNREADABLE
        return self.subwords.pieces[number].replace(SPACE, " ").strip() or "\u2423"


def _seen(looked: np.ndarray, sight: Sight) -> Seen:
    """What words saw of a photo, whose cells stand last among the positions they looked at."""
    height, width = sight.geometry.grid
    cells = looked[:, -height * width :]  # (T, h·w)
    shares = cells.sum(1)
    maps = cells + np.finfo(np.float32).tiny
    maps /= maps.sum(1, keepdims=True)
    return Seen(
        sight, shares.astype(np.float32), maps.reshape(-1, height, width).astype(np.float32)
    )
