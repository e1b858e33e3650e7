"""A photo looked at once, and asked as often as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.captions.caption import Caption, beginning
from captioner.captions.inputs import check_sentence
from captioner.captions.opened import Opened
from captioner.captions.writer import Request, Writer
from captioner.errors import ImageError, shown
from captioner.nn.memory import Memory
from captioner.options import SearchOptions, check_alternatives
from captioner.pictures.geometry import Geometry
from captioner.text import tokenise
from captioner.tracing import Trace


@dataclass(frozen=True, eq=False)
class Reading:
    """Every step of a sentence about a photo. S = T + 1 steps: the words and the end."""

    words: tuple[str, ...]  # T
    following: tuple[tuple[str, ...], ...]  # (S, A), likeliest next words, best first
    trace: Trace  # the numbers of each step
    grid: tuple[int, int]  # (h, w) of the photo

    def __repr__(self) -> str:
        return f"<Reading of {shown(' '.join(self.words))}, {len(self.following)} steps>"


@dataclass(frozen=True, eq=False)
class Look:
    """One photo, opened, preprocessed and encoded by `Captioner.look`.

    Asking it opens nothing and encodes nothing again. It never changes, so threads may share it; in
    a forked child it answers where its captioner does.
    """

    memory: Memory  # (1, N, D), what the encoder made of the photo
    geometry: Geometry  # where the memory's cells lie on the photo
    file: str | None  # name of the photo, where it came from a file
    source: Any  # what was handed over as the photo
    writer: Writer  # whose memory it is
    picture: Image.Image | None = None  # the photo, if it was asked for
    note: str | None = None  # what its owner should know of how the photo was read
    # What the cells looked at in one another, layer by layer and head by head, (L, H, N, N): the
    # row looks at the column; rows sum to 1. None where no layer refines the grid.
    refinement: NDArray[np.float32] | None = None
    enlarged: Memory | None = None  # (2, N', D), what a closer look saw, where there is one

    @property
    def map_grid(self) -> tuple[int, int]:
        """(h, w), cells of its captions' maps: more than the memory's after a closer look."""
        grid = None if self.enlarged is None else self.enlarged.grid
        return self.geometry.grid if grid is None else grid

    def __repr__(self) -> str:
        photo = type(self.source).__name__ if self.file is None else repr(self.file)
        height, width = self.geometry.grid
        return f"<Look at {photo}, {height}×{width} cells>"

    def __call__(
        self,
        *,
        prefix: str = "",
        to: str | None = None,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> Caption:
        """The photo's caption.

        Args:
            prefix: words that it must start with.
            to: language to translate it into, such as `de`.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ConfigError: a setting is wrong, the prefix holds an unknown word, or the translator
                does not speak the language, or the captions are in it already; or the look was
                taken on a GPU before this process was forked.
            CheckpointError: a translation is wanted, and there are no weights for it.
            ImageError: the caption cannot be translated.
        """
        whole = self.writer.checkpoint.options(options, **settings)
        return self.answer(self.writer.request(whole, prefix=prefix, to=to))

    caption = __call__

    def answer(self, request: Request) -> Caption:
        """The caption for a request that was checked before the photo was opened."""
        [caption] = self.writer.write(self.memory, [self._about], request, enlarged=self.enlarged)
        if caption.error is not None:
            raise ImageError(caption.error)
        return caption

    def steps(
        self, *, prefix: str = "", options: SearchOptions | None = None, **settings: Any
    ) -> Iterator[Caption]:
        """The caption as it grows: after each word that is not given, and when it has ended.

        There is one search, however many words are found. Greedy and sampled sentences grow; that
        of a beam, which may change its first word at its last, comes at once. What has not ended
        has the `log_prob` of its words alone.

        Args:
            prefix: words that the caption must start with.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ConfigError: as when it is called.
        """
        whole = self.writer.checkpoint.options(options, **settings)
        request = self.writer.request(whole, prefix=prefix)
        caption = self.answer(request)
        if request.grows:
            for count in range(len(request.prefix) + 1, len(caption.words) + 1):
                yield beginning(caption, count)
        yield caption

    def explain(self, sentence: str, alternatives: int = SearchOptions.alternatives) -> Caption:
        """What the model thinks of *your* sentence: how likely each word is and where it looks.

        Words that the vocabulary lacks keep their place and their map, but have no probability.

        Raises:
            ConfigError: the sentence has no words, or `alternatives` is out of range.
        """
        check_sentence(sentence)
        check_alternatives(alternatives)
        self.writer.check_process()
        [caption] = self.writer.explain(
            self.memory, [self._about], [tokenise(sentence)], alternatives, self.enlarged
        )
        return caption

    def trace(self, sentence: str, alternatives: int = 8) -> Reading:
        """Everything that is computed while the model reads a sentence, step by step.

        Args:
            sentence: about the photo.
            alternatives: how many of the likeliest next words to keep.

        Raises:
            ConfigError: the sentence has no words, `alternatives` is out of range, or the model
                attends to nothing.
        """
        check_sentence(sentence)
        check_alternatives(alternatives)
        self.writer.check_process()
        words = tokenise(sentence)
        found = self.writer.trace(self.memory, words, alternatives)
        names = self.writer.vocabulary.words
        following = tuple(tuple(names[token] for token in row) for row in found.tokens.tolist())
        return Reading(tuple(words), following, found, self.geometry.grid)

    @property
    def _about(self) -> Opened:
        return Opened(self.source, self.file, self.geometry.photo, note=self.note)
