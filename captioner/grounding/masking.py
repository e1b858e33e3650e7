"""Does a translated word hang on the source word that its attention lies on?

The most attended source word is masked, and the translated word's probability should fall, more
than when another word is masked. In the memory, the attention cannot look at the word any more, but
its neighbours' states have read it; in the source, an unknown word stands in its place, and nothing
has read it: for sentences what covered cells and covered pixels are for photos.

Shapes: P pieces of the target, S source words, N positions of the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captioner import intervals
from captioner.errors import DataError
from captioner.intervals import Estimate
from captioner.nn.memory import Memory
from captioner.options import RESAMPLES
from captioner.search import force
from captioner.text import EOS, UNK
from captioner.translations.translator import Translator

WHICH = ("attended", "another", "least attended")
WHERE = ("memory", "source")


@dataclass(frozen=True)
class Masking:
    """What words lose, in nats, when a source word is masked."""

    lost: dict[str, dict[str, Estimate]]  # by `WHERE`, then by `WHICH`
    ahead: dict[str, Estimate]  # by `WHERE`: the attended word's loss less another's, paired
    words: int
    sentences: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        lost = {w: {n: e.to_dict() for n, e in own.items()} for w, own in self.lost.items()}
        ahead = {where: each.to_dict() for where, each in self.ahead.items()}
        return {"lost": lost, "ahead": ahead, "words": self.words, "sentences": self.sentences}

    def __str__(self) -> str:
        """A table (Markdown)."""
        rows = {
            f"in the {where}": [
                *(self.lost[where][which].shown(1, 2) for which in WHICH),
                self.ahead[where].shown(1, 2),
            ]
            for where in WHERE
        }
        heads = ["masked", *WHICH, "attended – another"]
        text = intervals.table(heads, rows)
        return f"{text}\n\nnats lost a word | {self.words} words in {self.sentences} sentences"


def measure(
    translator: Translator,
    pairs: Iterable[tuple[str, str]],
    *,
    to: str,
    source_language: str,
    bootstrap: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[int], object] = lambda sentences: None,
) -> Masking:
    """Masks source words of given translations, for each translated word in turn.

    Args:
        translator: whose attention.
        pairs: sentences and their given translations.
        to: language of the translations.
        source_language: of the sentences.
        bootstrap: resamples of the sentences.
        seed: of the draw of the other word.
        progress: called after every sentence.

    Raises:
        DataError: no pair has two source words and a translation.
    """
    rng = np.random.default_rng(seed)
    rows: list[NDArray[np.float64]] = []
    owners: list[int] = []
    sentences = 0
    for source, target in pairs:
        found = read_sentence(translator, source, target, to, source_language, rng)
        progress(1)
        if found is not None:
            rows.append(found)
            owners += [sentences] * len(found)
            sentences += 1
    if not rows:
        raise DataError("no pair has two source words or more and a translation; give others")
    table = np.concatenate(rows)  # (P, places × words)
    ahead = table[:, [0, 3]] - table[:, [1, 4]]
    found_ = intervals.means(np.concatenate([table, ahead], 1), owners, bootstrap)
    lost = {
        where: dict(zip(WHICH, found_[3 * n : 3 * n + 3], strict=True))
        for n, where in enumerate(WHERE)
    }
    return Masking(lost, dict(zip(WHERE, found_[6:], strict=True)), len(table), sentences)


@torch.inference_mode()
def read_sentence(
    translator: Translator,
    source: str,
    target: str,
    to: str,
    language: str,
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    """What each of P pieces loses, (P, 6): in memory and source, of the three words."""
    pieces = translator.reader.read(source, to, language).pieces
    ids = [*pieces.ids]
    said = translator.subwords.encode(target).ids
    count = len(pieces.words)
    if count < 2 or not said:
        return None
    memory = translator.model.encoder(
        torch.tensor([[*ids, EOS]], device=translator.device), torch.tensor([len(ids) + 1])
    )
    [own] = _forced(translator, memory, [said], to)
    owner = np.array(pieces.owners)
    shares = np.zeros((len(said), count))
    np.add.at(shares.T, owner, own.weights.mean(1)[:, : len(ids)].T)
    chosen = np.stack([shares.argmax(1), others(shares.argmax(1), count, rng), shares.argmin(1)], 1)
    kept = owner != chosen.reshape(-1, 1)  # (P · 3, pieces)
    ended = np.concatenate([kept, np.ones((len(kept), 1), bool)], 1)
    hidden = replace(
        memory.select(torch.zeros(len(kept), dtype=torch.long, device=memory.device)),
        mask=torch.from_numpy(ended).to(memory.device),
    )
    unread = torch.from_numpy(np.where(kept, np.array(ids), UNK))
    sources = torch.cat([unread, torch.full((len(kept), 1), EOS)], 1).to(translator.device)
    blanked = translator.model.encoder(sources, torch.full((len(kept),), len(ids) + 1))
    lost = []
    for other in (hidden, blanked):
        found = _forced(translator, other, [said] * len(kept), to)
        each = np.stack([hypothesis.log_probs for hypothesis in found]).reshape(len(said), 3, -1)
        lost.append(own.log_probs[:, None] - np.einsum("pwp->pw", each))
    table = np.concatenate(lost, 1)
    known: NDArray[np.float64] = table[np.isfinite(table).all(1)]
    return known if len(known) else None


def _forced(
    translator: Translator, memory: Memory, said: Sequence[Sequence[int]], to: str
) -> list[Any]:
    return force(translator.model.decoder, memory, said, alternatives=1, start=translator.start(to))


def others(attended: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each a drawn word that is not the attended one."""
    drawn = rng.integers(0, count - 1, len(attended))
    return drawn + (drawn >= attended)
