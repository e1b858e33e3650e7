"""The desk at which visitors' questions are answered: photos and words in, viewers' values out.

Nothing here knows Gradio; `values` says what the viewers draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.captions.look import Look
from captioner.errors import CheckpointError, ConfigError
from captioner.nn import family
from captioner.options import DRAWING, SearchOptions
from captioner.pictures.open import open_photo
from captioner.settings import field_of, is_whole
from captioner.subwords import clean
from captioner.translations.translation import Translation
from captioner.translations.translator import Translator
from captioner.ui import insides, values
from captioner.ui.album import Album
from captioner.ui.endpoints import LONGEST_SENTENCE, LONGEST_TEXT
from captioner.ui.insides import END
from captioner.ui.painting import Painting, covering_of, elsewhere, mean_colour, where_looked
from captioner.ui.values import LONGEST, View, blank, view
from captioner.words import is_content

MOST_BEFORE, LONGEST_WORD = 50, 50  # words that a caption must start with, characters of each
MOST_EDITS = 200  # words chosen one after the other
MOST_INSIDE = 3  # sentences of a text whose steps are shown
LANGUAGE = "en"  # of the captions
_MOST_COVERED = 0.25  # of the photo, by the first click that is offered


@dataclasses.dataclass(frozen=True)
class PhotoAtHand:
    """A photo on the desk: looked at by the model, and made ready for a browser."""

    look: Look
    value: View  # the viewer's, with nothing caption yet
    fill: tuple[int, int, int]  # mean colour, which a painting is shown in


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written about one photo: sentences side by side, of which a visitor sees one."""

    captions: tuple[Caption, ...]  # the best one first
    titles: tuple[str, ...]  # what each is called
    edits: tuple[tuple[str, ...], ...] = ()  # words to start with, as a visitor chose them in turn
    length_penalty: float = 1.0  # of the search, by which sentences are ranked

    @classmethod
    def of(cls, caption: Caption, length_penalty: float = 1.0) -> Written:
        """A caption with the others that were found, by their ranks."""
        captions = (caption, *caption.n_best)
        titles = tuple(str(rank) for rank in range(1, len(captions) + 1))
        return cls(captions, titles, length_penalty=length_penalty)

    @property
    def photo(self) -> Any:
        """The photo it is about."""
        return self.captions[0].source

    @property
    def before(self) -> tuple[str, ...]:
        """The words to start with; none where no word was chosen."""
        return self.edits[-1] if self.edits else ()

    def place(self, card: object) -> int:
        """The number of a card, as a browser names it; 0, the best one's, where there is none."""
        return int(card) if isinstance(card, int) and 0 <= card < len(self.captions) else 0

    def caption(self, card: object = 0) -> Caption:
        """The caption of a card."""
        return self.captions[self.place(card)]


class Desk:
    """Answers the page's questions with one captioner and, where there is one, one translator.

    It keeps nothing of a visitor but the last few photos, as they are shown and as the model sees
    them.
    """

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner
        self.album = Album(self._take_up)
        self.translator = translator_of(captioner)

    def _take_up(self, photo: str) -> PhotoAtHand:
        look = self.captioner.look(photo, side=LONGEST)
        assert look.picture is not None
        value = {**blank(look.picture), "grid": list(look.map_grid)}
        fill = mean_colour(look.picture)
        return PhotoAtHand(dataclasses.replace(look, picture=None), value, fill)

    def warm_up(self) -> None:
        """Captions an empty picture, so that the first visitor does not wait for torch to start."""
        size = self.captioner.preprocess.size
        self.captioner(Image.new("RGB", (size, size)))

    def open_with(self, photo: str) -> tuple[View, Written]:
        """Captions the photo that every visitor's page begins with, for the viewer to play."""
        *_, (value, written) = self.write(photo)
        return {**value, "opening": True}, written

    def shown(self, photo: str | None) -> View:
        """The viewer's value for a photo alone."""
        return blank(None) if photo is None else {**self.album[photo].value}

    def write(
        self,
        photo: str,
        *,
        edits: Sequence[Sequence[str]] = (),
        compare: bool = False,
        options: SearchOptions | None = None,
    ) -> Iterator[tuple[View, Written]]:
        """Captions a photo; greedy and sampled sentences grow word by word.

        Args:
            photo: path.
            edits: words that the caption must start with, as they were chosen in turn: the last
                ones count. `.` as the last of them ends the caption there.
            compare: put greedy decoding's sentence beside that of the beam.
            options: how to decode; left out, as the checkpoint has it.

        Yields:
            the viewer's value and what is written; the last is the finished one.

        Raises:
            ConfigError: `edits` are no lists of a few short words, or a setting is wrong.
        """
        kept = _checked_edits(edits)
        before = kept[-1] if kept else ()
        options = _ending(before, self.captioner.options(options))
        prefix = " ".join(word for word in before if word != ".")
        at_hand = self.album[photo]
        *growing, caption = at_hand.look.steps(prefix=prefix, options=options)
        for beginning in growing:
            value = view(beginning, at_hand.value, busy=True)
            yield {**value, **_edited(kept)}, Written((beginning,), ("1",), kept)
        found = Written.of(caption, options.length_penalty)
        written = dataclasses.replace(found, edits=kept)
        if compare and not options.sample and options.beam_size > 1:
            plain = dataclasses.replace(options, beam_size=1, n_best=1)
            greedy = at_hand.look.caption(prefix=prefix, options=plain)
            titles = (f"beam {options.beam_size}", *written.titles[1:], "greedy")
            both = (*written.captions, greedy)
            written = Written(both, titles, kept, options.length_penalty)
        yield self.value_of(written), written

    def value_of(self, written: Written, card: object = 0, to: str = "") -> View:
        """The viewer's value for what is written.

        Args:
            written: about a photo.
            card: whose sentence is shown.
            to: language of a translation below that sentence, word linked to word, such as `de`;
                empty for none.

        Raises:
            ConfigError: there is no translator, or it does not speak the language.
        """
        best, *others = zip(written.titles, written.captions, strict=True)
        photo = self.album[written.photo].value
        penalty = written.length_penalty
        value = view(best[1], photo, others=others, title=best[0], length_penalty=penalty)
        value |= {**_edited(written.edits), "choice": written.place(card)}
        if to:
            said = self._whole_words(self.translated(written.caption(card), to))
            linked = values.links(said, value["peak"])
            value["links"] = {**linked, "card": value["choice"]}
        return value

    def explain(self, photo: str, sentence: str) -> tuple[View, Caption]:
        """What the model thinks of a sentence about a photo.

        Raises:
            ConfigError: the sentence has no words, or is too long.
        """
        _check_length("the sentence", sentence, LONGEST_SENTENCE)
        at_hand = self.album[photo]
        caption = at_hand.look.explain(sentence)
        return {**view(caption, at_hand.value), "fixed": True}, caption

    def paint(
        self,
        photo: str,
        caption: Caption | None,
        strokes: object,
        options: SearchOptions | None = None,
        *,
        covering: object = None,
    ) -> tuple[View, Caption]:
        """Captions a photo again with a part painted over, and asks what the old words are worth.

        Args:
            photo: path.
            caption: the caption of the whole photo; left out, the photo is captioned first.
            strokes: what the browser sent, see `Painting`.
            options: how to decode; left out, as the checkpoint has it.
            covering: the click that the painting came from, see `covering_of`.

        Returns:
            the viewer's value, whose `moved` holds the old words with their probability before and
            after, whose `covers` are the cells that a click covers for each old word, and the old
            caption.
        """
        painting = Painting.from_json(strokes)
        at_hand = self.album[photo]
        caption = at_hand.look.caption(options=options) if caption is None else caption
        brush = {
            "fixed": True,
            "paint": True,
            "fill": list(at_hand.fill),
            "covers": _covers(caption),
            "suggested": _suggested(caption),
            "covering": covering_of(covering, len(caption.words)),
        }
        if not painting:
            return {**view(caption, at_hand.value), **brush}, caption
        whole = open_photo(photo, side=self.captioner.largest_size)
        look = self.captioner.look(painting.over(whole, at_hand.look.map_grid))
        now = look.caption(options=options)
        after = look.explain(" ".join(word.text for word in caption.words)).words
        peak = values.peak_of([now, caption])
        value = {**view(now, at_hand.value), **values.sentence(now, peak), "peak": peak}
        value["moved"] = values.moved(caption, after, peak)
        return {**value, **brush}, caption

    def languages(self) -> tuple[str, ...]:
        """What a caption can be translated into; none where the weights did not come along."""
        if self.translator is None:
            return ()
        spoken = self.translator.languages
        return tuple(to for source, to in spoken.directions if source == LANGUAGE)

    def first_target(self) -> str | None:
        """A language to translate into, not that of the captions where there is another."""
        if self.translator is None:
            return None
        targets = self.translator.languages.targets
        return next((code for code in targets if code != LANGUAGE), targets[0])

    def translated(self, caption: Caption, to: str) -> Caption:
        """A caption in another language, word for word the one that was written.

        Raises:
            ConfigError: there is no translator, or it does not speak the language.
        """
        self._translator()
        return self.captioner.translated(dataclasses.replace(caption, n_best=()), to)

    @property
    def sees(self) -> bool:
        """Whether the translator has eyes for a photo."""
        return self.translator is not None and self.translator.eyes is not None

    def _whole_words(self, said: Caption) -> Caption:
        """A caption in another language whose words' alternatives are no beginnings of words."""
        assert said.translation is not None
        whole = self._translator().with_whole_words(said.translation)
        words = tuple(
            dataclasses.replace(word, alternatives=other.alternatives)
            for word, other in zip(said.words, whole.words, strict=True)
        )
        return dataclasses.replace(said, words=words)

    def translate(
        self, text: str, to: str, source: str = "", photo: str | None = None
    ) -> tuple[View, View]:
        """The values of the viewer of linked words and of the viewer of one step.

        A text is translated sentence by sentence; a step is a piece of a word. A translator with
        eyes may have a photo in view.

        Raises:
            ConfigError: there is no translator, or it cannot translate this.
            ImageError: the photo cannot be read.
        """
        translator = self._translator()
        _check_length("the text", text, LONGEST_TEXT)
        translator.languages.check(source or None, to)
        if not clean(text):
            raise ConfigError("there is nothing to translate; write a sentence")
        sight = translator.look(photo) if self.sees and photo else None
        read, into = (source, to) if source else translator.direction(text, to)
        # Where nobody named the language, the translator guesses it once more and says its doubts.
        named = read if source or into != to else None
        found = [
            dataclasses.replace(one, guessed=not source)
            for one in translator.by_sentence(text, to=into, source_language=named, photo=sight)
        ]
        said = [one for one in found if one.pieces]  # others stay as they are
        inside = [self._inside(one) for one in said[:MOST_INSIDE]]
        pairs: View = {
            "sentences": [values.pairs(one) for one in found],
            "pharaoh": [one.pharaoh() for one in found],
        }
        if into != to:
            pairs["instead"] = {"source": read, "to": into, "asked": to}
        return pairs, {**insides.one_after_another(inside), "language": into} if inside else {}

    def _inside(self, found: Translation) -> View:
        """Every step of a translated sentence."""
        translator = self._translator()
        read = translator.trace(found)
        cells = 0 if read.grid is None else read.grid[0] * read.grid[1]
        between = read.self_attention
        value = insides.steps(
            read.trace,
            read.words,
            read.following,
            family.moves(translator.checkpoint.config),
            positions=[*read.source, END],
            cells=cells,
            among=read.refinement,
            between=None if between is None else between.weights,
        )
        if read.grid is not None and found.seen is not None:
            picture = open_photo(found.seen.sight.source, side=LONGEST)
            value |= {"photo": blank(picture)["photo"], "grid": list(read.grid)}
        return value

    def _translator(self) -> Translator:
        if self.translator is None:
            raise ConfigError("the weights for translation are not there")
        return self.translator

    def inside(self, photo: str, sentence: str) -> View:
        """Every step of a sentence about a photo, for the viewer of one step."""
        at_hand = self.album[photo]
        found = at_hand.look.trace(sentence)
        own = family.moves(self.captioner.checkpoint.config)
        among = at_hand.look.refinement
        inside = insides.steps(found.trace, found.words, found.following, own, among=among)
        return {**at_hand.value, **inside, "grid": list(found.grid)}


def _covers(caption: Caption) -> list[View]:
    """For each word the cells where it looked, and as many elsewhere."""
    grid = caption.maps.shape[1:]
    looked = [where_looked(weights) for weights in caption.maps]
    return [
        {"looked": list(cells), "elsewhere": list(elsewhere(cells, (grid[0], grid[1])))}
        for cells in looked
    ]


def _suggested(caption: Caption) -> int:
    """The word to cover first: one that names something, and looked at enough to be covered.

    That is, of content words that looked at no more than `_MOST_COVERED` of the photo, the one that
    looked at most: a few cells of a large thing leave most of it to be seen.
    """
    cells = caption.maps[0].size if len(caption.maps) else 1
    shares = [len(where_looked(weights)) / cells for weights in caption.maps]
    naming = [n for n, word in enumerate(caption.words) if is_content(word.text.lower())]
    coverable = [n for n in naming if shares[n] <= _MOST_COVERED]
    return max(coverable or naming or range(len(shares)), key=lambda n: shares[n], default=0)


def _check_length(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise ConfigError(f"{name} has {len(text)} characters; expected at most {most}")


def _checked_edits(edits: object) -> tuple[tuple[str, ...], ...]:
    """The words that captions must start with, as they may be.

    Raises:
        ConfigError: they are no lists of a few short words.
    """
    if not isinstance(edits, (list, tuple)) or len(edits) > MOST_EDITS:
        raise ConfigError(f"more than {MOST_EDITS} words were chosen in turn; undo some")
    return tuple(_checked_words(words) for words in edits)


def _checked_words(words: object) -> tuple[str, ...]:
    is_list = isinstance(words, (list, tuple)) and len(words) <= MOST_BEFORE
    if not is_list or not all(isinstance(word, str) for word in words):  # type: ignore[attr-defined]
        raise ConfigError(
            f"the words before are no list of at most {MOST_BEFORE} words; choose a word again"
        )
    for word in words:  # type: ignore[attr-defined]
        if len(word) > LONGEST_WORD:
            raise ConfigError(
                f"the word {word[:20]!r}… has {len(word)} characters; expected at most "
                f"{LONGEST_WORD}"
            )
    return tuple(words)  # type: ignore[arg-type]


def _edited(edits: Sequence[Sequence[str]]) -> View:
    """Which words a visitor chose, for the viewer; nothing where none was.

    `edits` are all of them, with which a page that is loaded again can ask for the same sentence.
    """
    if not edits:
        return {}
    before = edits[-1]
    ends = before[-1] == "."
    edited = {"index": len(before) - 1 - ends, "word": before[-1]}
    return {"edited": edited, "edits": [list(words) for words in edits]}


def _ending(before: Sequence[str], options: SearchOptions) -> SearchOptions:
    """The options; after a chosen full stop, no word may follow."""
    if not before or before[-1] != ".":
        return options
    if len(before) < 2:
        raise ConfigError("a sentence needs a word before its full stop; choose a word")
    return dataclasses.replace(options, max_length=len(before) - 1)


def options_of(own: SearchOptions, controls: Mapping[str, Any]) -> SearchOptions:
    """The checkpoint's own options with what the page's controls say put in.

    Numbers are made whole where they must be, and what only matters where words are drawn is left
    as it is where none are.

    Raises:
        ConfigError: a setting is out of range.
    """
    settings = {
        name: int(value) if value is not None and is_whole(field_of(SearchOptions, name)) else value
        for name, value in controls.items()
        if controls.get("sample") or name not in DRAWING
    }
    if not settings.get("sample"):
        settings["beam_size"] = max(settings.get("beam_size", 1), settings.get("n_best", 1))
    return own.changed(**settings)


def translator_of(captioner: Captioner) -> Translator | None:
    """The captioner's translator; None where its weights did not come along."""
    try:
        return captioner.translator
    except CheckpointError:
        return None
