"""What else a translator could have said at each word, as whole words.

A step of the decoder tells how likely each next piece is; a piece such as `Kat` is finished here
with what the model would go on with, until another word begins.

Shapes: K words to finish.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from captioner.nn.decoder import Decoder
from captioner.nn.memory import Memory
from captioner.search import Start, force
from captioner.subwords import SPACE, Subwords
from captioner.text import EOS, SPECIALS, UNK, has_words
from captioner.words import Word

LEAST = 0.01  # probability of a word that is shown, and of the first piece of one that is finished
MOST = 4  # of them a word
_ROUNDS = 5  # pieces of a word, the first apart; no word of any length holds up the others


@dataclass(frozen=True)
class _Begun:
    """A word that is being finished."""

    word: int  # in whose place it could stand
    before: tuple[int, ...]  # pieces of the sentence up to it
    own: tuple[int, ...]  # its pieces so far
    prob: float  # of them, given what stands before
    done: bool = False


class Finisher:
    """Finds whole words with one translator's decoder and pieces."""

    def __init__(self, decoder: Decoder[Any], subwords: Subwords) -> None:
        self.decoder, self.subwords = decoder, subwords

    def finished(
        self, memory: Memory, start: Start, said: Sequence[int], words: Sequence[Word]
    ) -> tuple[Word, ...]:
        """The words with whole words as their alternatives, the likeliest first.

        Args:
            memory: of the one source sentence, fresh from an encoder.
            start: what stands before the first piece.
            said: the pieces of the translation.
            words: in which they are spelt.
        """
        begun = self._begun(memory, start, said)
        for _ in range(_ROUNDS):
            open_ = [one for one in begun if not one.done]
            if not open_:
                break
            longer = iter(self._longer(memory, start, open_))
            begun = [one if one.done else next(longer) for one in begun]
        return tuple(self._with(word, place, begun) for place, word in enumerate(words))

    def _begun(self, memory: Memory, start: Start, said: Sequence[int]) -> list[_Begun]:
        (found,) = force(self.decoder, memory, [said], alternatives=MOST + 1, start=start)
        _, target = self.subwords.decode(said)
        begun = []
        for word in range(len(target.words)):
            place = target.owners.index(word)
            others = zip(
                found.alternatives[place].tolist(), found.alternative_probs[place], strict=True
            )
            begun += [
                _Begun(word, tuple(said[:place]), (piece,), float(prob))
                for piece, prob in others
                if prob >= LEAST and piece != said[place] and self._begins(piece)
            ]
        return begun

    def _longer(self, memory: Memory, start: Start, begun: Sequence[_Begun]) -> list[_Begun]:
        """Each with the likeliest next piece; done where that begins another word."""
        sentences = [[*one.before, *one.own, UNK] for one in begun]  # what comes in UNK's place?
        found = force(
            self.decoder, memory, sentences, [0] * len(begun), alternatives=1, start=start
        )
        longer = []
        for one, hypothesis in zip(begun, found, strict=True):
            piece = int(hypothesis.alternatives[-1][0])
            if piece == EOS or self._begins(piece) or not has_words(self.subwords.pieces[piece]):
                longer.append(dataclasses.replace(one, done=True))
            else:
                prob = one.prob * float(hypothesis.alternative_probs[-1][0])
                longer.append(dataclasses.replace(one, own=(*one.own, piece), prob=prob))
        return longer

    def _begins(self, piece: int) -> bool:
        return piece >= len(SPECIALS) and self.subwords.pieces[piece].startswith(SPACE)

    def _with(self, word: Word, place: int, begun: Sequence[_Begun]) -> Word:
        own = [(self.subwords.decode(one.own)[0], one.prob) for one in begun if one.word == place]
        others = [(text, prob) for text, prob in own if text != word.text and prob >= LEAST]
        ranked = sorted(dict(reversed(others)).items(), key=lambda pair: -pair[1])
        return dataclasses.replace(word, alternatives=tuple(ranked))
