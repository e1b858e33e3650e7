r"""Heads as points of view: what does "it" look at in the sentence that it stands in?

    python -m benchmarks.pronouns runs/study-family-translations/transformer-1.safetensors \
        -o docs/pronouns

"The cat did not eat the mouse because it was not tasty": the mouse was not. Change one word, "…
because it was not hungry", and "it" is the cat (Levesque, Davis, Morgenstern 2012, "The Winograd
Schema Challenge"). So every sentence comes with its twin, and a head has understood a pair only if
"it" looks more at the right noun than at the other one in *both*: one that always looks at the
nearer noun, or at the first, is right in one and wrong in the other. The encoder must be a
Transformer's, whose words look at one another; every head of every layer is asked, and the mean of
each layer's.

`table.md` and `heads.png` (where "it" looks, head by head, in the first pair) are written.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner import intervals
from captioner.errors import ConfigError
from captioner.outputs import draw, write_text
from captioner.pictures.figures import lettering, painted
from captioner.pictures.ink import MUTED
from captioner.translations.selfattention import SelfAttention
from captioner.translations.translator import Translator

PRONOUN = "it"


@dataclass(frozen=True)
class Twins:
    """A sentence with a place for a word, and which noun is meant with each of two words."""

    sentence: str
    words: tuple[str, str]
    nouns: tuple[str, str]  # that "it" is, with the first word and with the second

    def text(self, number: int) -> str:
        """One of the two sentences."""
        return self.sentence.format(self.words[number])


PAIRS = (
    Twins(
        "The cat did not eat the mouse because it was not {}.",
        ("tasty", "hungry"),
        ("mouse", "cat"),
    ),
    Twins("The dog chased the ball because it was {}.", ("rolling", "playful"), ("ball", "dog")),
    Twins("The ball broke the table because it was {}.", ("heavy", "weak"), ("ball", "table")),
    Twins(
        "The horse jumped over the fence because it was {}.", ("low", "strong"), ("fence", "horse")
    ),
    Twins(
        "The bag does not fit in the car because it is too {}.", ("big", "small"), ("bag", "car")
    ),
    Twins(
        "The boy's dog ate the sandwich because it was {}.",
        ("fresh", "hungry"),
        ("sandwich", "dog"),
    ),
)


@dataclass(frozen=True)
class Head:
    """Where "it" looks in both sentences of a pair."""

    name: str
    shares: NDArray[
        np.float64
    ]  # (2, 2): sentence by noun, the right one of the first sentence first

    @property
    def right(self) -> tuple[bool, bool]:
        """Whether the right noun is looked at more, in each sentence."""
        return bool(self.shares[0, 0] > self.shares[0, 1]), bool(
            self.shares[1, 1] > self.shares[1, 0]
        )


def heads(translator: Translator, pair: Twins) -> list[Head]:
    """Every head's look, layer by layer, each layer's mean behind its heads.

    Raises:
        ConfigError: the model reads with a recurrent network, or a sentence lacks a word.
    """
    looks = [translator.self_attention(pair.text(number)) for number in range(2)]
    layers, count = looks[0].weights.shape[:2]
    found = []
    for layer in range(1, layers + 1):
        for head in (*range(1, count + 1), 0):
            shares = [[_share(look, noun, layer, head) for noun in pair.nouns] for look in looks]
            name = f"layer {layer}, " + (f"head {head}" if head else "mean")
            found.append(Head(name, np.array(shares)))
    return found


def _share(look: SelfAttention, noun: str, layer: int, head: int) -> float:
    return float(look.of(layer, head)[_place(look, PRONOUN), _place(look, noun)])


def _place(look: SelfAttention, word: str) -> int:
    words = [each.lower() for each in look.words]
    if word not in words:
        raise ConfigError(f"the sentence has no word {word!r}; its words are: {', '.join(words)}")
    return words.index(word)


def table(translator: Translator, pairs: Sequence[Twins] = PAIRS) -> str:
    """Markdown: the first pair head by head, and how many pairs each head has right in both."""
    every = [heads(translator, pair) for pair in pairs]
    first, nouns = every[0], pairs[0].nouns
    rows = {}
    for number, head in enumerate(first):
        cells = [f"{share:.2f}" for share in head.shares.ravel()]
        right = ["right" if each else "wrong" for each in head.right]
        both = sum(all(own[number].right) for own in every)
        rows[head.name] = [*cells[:2], right[0], *cells[2:], right[1], f"{both} of {len(pairs)}"]
    names = [f'"{PRONOUN}" at "{noun}"' for noun in nouns]
    heading = ["head", *names, pairs[0].words[0], *names, pairs[0].words[1], "pairs right in both"]
    sentences = "\n".join(
        f"- {pair.text(0)} ({pair.nouns[0]}) / … {pair.words[1]}. ({pair.nouns[1]})"
        for pair in pairs
    )
    by_chance = "A head that looks at one of the two by chance has a quarter of the pairs right."
    return f"{intervals.table(heading, rows)}\n\n{by_chance}\n\n{sentences}\n"


def figure(translator: Translator, pair: Twins) -> Image.Image:
    """Where "it" looks, a row a head, a panel a sentence."""
    from matplotlib.figure import Figure

    looks = [translator.self_attention(pair.text(number)) for number in range(2)]
    layers, count = looks[0].weights.shape[:2]
    names = [f"{layer + 1}.{head + 1}" for layer in range(layers) for head in range(count)]
    drawn = Figure(figsize=(12.5, 0.34 * len(names) + 1.6))
    for axes, look in zip(drawn.subplots(1, 2), looks, strict=True):
        rows = look.weights[:, :, _place(look, PRONOUN)].reshape(len(names), -1)
        axes.imshow(rows, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        _dress(axes, names, look.words, pair.nouns)
    drawn.tight_layout()
    return painted(drawn, 100)


def _dress(axes: Any, names: Sequence[str], words: Sequence[str], nouns: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, **lettering(9))
    axes.set_xticks(range(len(words)), words, rotation=45, ha="left", **lettering(9.5))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=2)
    axes.set_frame_on(False)
    axes.set_ylabel("layer.head", **lettering(9.5, MUTED))
    for label in axes.get_xticklabels():
        if label.get_text() in nouns:
            label.set_fontweight("bold")


def main(arguments: list[str] | None = None) -> None:
    """Asks the heads, prints the table, and writes both where that is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "checkpoint", help="of a translator from English with a Transformer encoder"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR")
    typed = parser.parse_args(arguments)
    translator = Translator.load(typed.checkpoint)
    text = table(translator)
    print(text)
    if typed.output:
        write_text(typed.output / "table.md", f'# What "it" looks at\n\n{text}')
        draw(figure(translator, PAIRS[0]), typed.output / "heads.png")


if __name__ == "__main__":
    main()
