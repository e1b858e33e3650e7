"""What `captioner evaluate` can score: captioned photos, sentence pairs."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.captions.recipe import Source
from captioner.cli import flags
from captioner.cli.besides import Besides
from captioner.cli.models import load_captioner, load_translator
from captioner.errors import ConfigError
from captioner.outputs import draw
from captioner.translations.recipe import PairSource

if TYPE_CHECKING:
    from captioner.captions.evaluation import CaptionEvaluation
    from captioner.scoring import Evaluation, Report
    from captioner.translations.evaluation import TranslationEvaluation


class Scored(ABC):
    """Items of one kind with what people wrote: how they are named, read and scored."""

    item: str  # what one is called in messages
    flags: Mapping[str, str]  # by attribute, those that are only about this kind
    needed: tuple[str, ...]  # flags
    answers: str  # file of the answers, in --output
    drawn: tuple[str, ...] = ()  # more files there

    @abstractmethod
    def read(self, arguments: argparse.Namespace) -> Sequence[Any]:
        """All items that were named."""

    def inputs(self, items: Sequence[Any]) -> Sequence[Path]:
        """Files that the items are read from, besides those that were typed."""
        return ()

    @abstractmethod
    def evaluation(
        self, arguments: argparse.Namespace, items: Sequence[Any]
    ) -> Evaluation[Any, Any, Any]:
        """The items beside the model that was named."""

    @abstractmethod
    def about(self, arguments: argparse.Namespace, report: Report[Any, Any]) -> dict[str, Any]:
        """What was scored, as plain values for JSON."""

    @abstractmethod
    def name(self, arguments: argparse.Namespace) -> str:
        """Under which a checkpoint keeps the scores."""

    def further(self, arguments: argparse.Namespace) -> tuple[str, ...]:
        """Files that `show` may have drawn besides, in --output."""
        return ()

    def check(self, arguments: argparse.Namespace, items: Sequence[Any]) -> None:
        """Refuses what `show` could not do, before the items are scored, which takes long.

        Raises:
            CaptionerError: a file that it takes is none, or is about other items.
        """
        return

    def show(self, arguments: argparse.Namespace, judged: Evaluation[Any, Any, Any]) -> Besides:
        """Prints what there is besides the scores."""
        return Besides()

    def draw(self, report: Any, folder: Path) -> None:
        """Writes the files that are drawn."""
        return


class Photos(Scored):
    """Captioned photos."""

    item = "photo"
    flags: Mapping[str, str] = {
        name: f"--{name}"
        for name in (
            "captions",
            "images",
            "format",
            "split",
            "boxes",
            "maps",
            "metrics",
            "workers",
        )
    }
    needed = ("--captions", "--images")
    answers = "captions.jsonl"
    drawn = ("extremes.png",)

    def read(self, arguments: argparse.Namespace) -> Sequence[Any]:
        """The photos of a split."""
        from captioner import datasets

        return datasets.read(Source(**flags.given(arguments, Source)))

    def inputs(self, items: Sequence[Any]) -> Sequence[Path]:
        """The photos."""
        return [photo.path for photo in items]

    def evaluation(self, arguments: argparse.Namespace, items: Sequence[Any]) -> CaptionEvaluation:
        """The photos beside the captioner of --checkpoint."""
        captioner = load_captioner(arguments)
        from captioner.captions.evaluation import CaptionEvaluation

        names = {"names": arguments.metrics} if arguments.metrics else {}
        typed = _typed(arguments, "batch_size", "workers")
        return CaptionEvaluation(captioner, items, **names, **typed)

    def about(self, arguments: argparse.Namespace, report: Report[Any, Any]) -> dict[str, Any]:
        """The file, the split, how many photos, and why others are missing."""
        return {
            "captions": arguments.captions,
            "split": arguments.split or "",
            "photos": len(report.items),
            "left_out": list(report.failures),
        }

    def name(self, arguments: argparse.Namespace) -> str:
        """As typed, or the split's, or the file's."""
        return arguments.save_scores or arguments.split or Path(arguments.captions).stem

    def further(self, arguments: argparse.Namespace) -> tuple[str, ...]:
        """With --maps, its figures."""
        if arguments.maps is None:
            return ()
        from captioner.grounding.report import FIGURES

        return FIGURES

    def check(self, arguments: argparse.Namespace, items: Sequence[Any]) -> None:
        """Refuses boxes that are none, or of other photos, and captions that name nothing."""
        if arguments.maps is None and not arguments.boxes:
            return
        from captioner.grounding import report

        report.questions(items, arguments.boxes or None)

    def show(self, arguments: argparse.Namespace, judged: Evaluation[Any, Any, Any]) -> Besides:
        """With --boxes, how well maps lie on what nouns name; with --maps, all that is asked."""
        if arguments.maps is None and not arguments.boxes:
            return Besides()
        from captioner.cli import maps

        return maps.show(arguments, judged)

    def draw(self, report: Any, folder: Path) -> None:
        """A sheet of the worst and the best."""
        from captioner.captions.evaluation import draw_extremes

        draw(draw_extremes(report), folder / "extremes.png")


class Pairs(Scored):
    """Sentence pairs of one direction, with photos or without."""

    item = "pair"
    flags: Mapping[str, str] = {
        "source": "--source",
        "target": "--target",
        "source_language": "--from",
        "to": "--to",
        "photo_names": "--photo-names",
        "photo_folder": "--photo-folder",
        "photos": "--photos",
    }
    needed = ("--source", "--target", "--from", "--to")
    answers = "translations.jsonl"

    def read(self, arguments: argparse.Namespace) -> Sequence[Any]:
        """The pairs of two files."""
        direction = (arguments.source_language, arguments.to)
        if _seen(arguments):
            from captioner.multimodal.pairs import read_seen_pairs
            from captioner.multimodal.recipe import SeenSource

            return read_seen_pairs(
                SeenSource(
                    arguments.source,
                    arguments.target,
                    languages=direction,
                    photos=arguments.photo_names,
                    images=arguments.photo_folder,
                )
            )
        files = PairSource(arguments.source, arguments.target, languages=direction)
        from captioner.translations.pairs import read_pairs

        return read_pairs(files)

    def inputs(self, items: Sequence[Any]) -> Sequence[Path]:
        """The photos, where there are some."""
        return [item.path for item in items if hasattr(item, "path")]

    def evaluation(
        self, arguments: argparse.Namespace, items: Sequence[Any]
    ) -> TranslationEvaluation:
        """The pairs beside the translator of --checkpoint."""
        translator = load_translator(arguments)
        typed = _typed(arguments, "batch_size")
        if _seen(arguments):
            from captioner.multimodal.evaluation import MultimodalEvaluation

            return MultimodalEvaluation(translator, items, view=arguments.photos or "own", **typed)
        from captioner.translations.evaluation import TranslationEvaluation

        return TranslationEvaluation(translator, items, **typed)

    def about(self, arguments: argparse.Namespace, report: Report[Any, Any]) -> dict[str, Any]:
        """The files, the direction, how many sentences, and which were not translated."""
        return {
            "source": arguments.source,
            "target": arguments.target,
            "from": arguments.source_language,
            "to": arguments.to,
            **({"photos": arguments.photos or "own"} if _seen(arguments) else {}),
            "sentences": len(report.items),
            "failed": list(report.failures),
        }

    def name(self, arguments: argparse.Namespace) -> str:
        """`validation en-de`: a checkpoint keeps the scores of one split in many directions."""
        split = arguments.save_scores or Path(arguments.source).stem
        own = f"{arguments.source_language}-{arguments.to}"
        if arguments.photos in ("wrong", "none"):
            own = f"{own}, {arguments.photos} photo"
        return split if split.endswith(own) else f"{split} {own}"


def _seen(arguments: argparse.Namespace) -> bool:
    """Whether the pairs have photos.

    Raises:
        ConfigError: not all is there that names them.
    """
    named = (arguments.photo_names, arguments.photo_folder)
    if any(named) != all(named) or (arguments.photos and not any(named)):
        raise ConfigError(
            "pairs with photos take --photo-names FILE, a photo's name a line, and --photo-folder "
            "DIR; see captioner evaluate --help"
        )
    return all(named)


KINDS: tuple[Scored, ...] = (Photos(), Pairs())


def _typed(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What was typed of these; the rest is as evaluation has it."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
