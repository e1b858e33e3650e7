"""`captioner study alignment`: sentence pairs in; a table of where a checkpoint looks out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.models import load_translator

if TYPE_CHECKING:
    from captioner.alignments import WordPair


def add(topics: Any) -> None:
    """The flags."""
    parser = topics.add_parser(
        "alignment",
        usage="captioner study alignment --source FILE --target FILE --from LANGUAGE\n"
        "       --to LANGUAGE [options]",
        description="Compares where each word of the reference looks with links that IBM Model 2 "
        "finds in both\ndirections, and with the rows before and behind. The aligner is slow: five "
        "iterations over 5,000\ncaptions take a minute or two.",
        epilog="""\
examples:
  captioner study alignment --source val.en --target val.de --from en --to de \\
    --support train.en train.de""",
    )
    flags.add_pairs(parser)
    parser.add_argument(
        "--support",
        nargs=2,
        metavar="FILE",
        help="source and target of further pairs that the aligner learns from: training sentences",
    )
    parser.add_argument(
        "--support-pairs",
        type=flags.COUNT,
        default=4000,
        metavar="N",
        help="how many of them, from the first on (default: 4000)",
    )
    parser.add_argument(
        "--iterations",
        type=flags.whole(1, 1000),
        default=5,
        metavar="N",
        help="of the aligner's training (default: 5)",
    )
    flags.add_model(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compares where a checkpoint looks, writing the reference, with silver links; returns 0."""
    pairs = flags.pairs(arguments)
    support = flags.read_pairs(arguments, *arguments.support) if arguments.support else []
    from captioner import alignments

    translator = load_translator(arguments)
    texts = [(pair.source_text, pair.target_text) for pair in pairs]
    languages = {"to": arguments.to, "source_language": arguments.source_language}
    explained = list(translator.stream_explained(texts, alternatives=0, split=False, **languages))
    found = [each for each in explained if each.error is None]

    def words(text: str) -> tuple[str, ...]:
        return translator.subwords.encode(text).words

    others: list[WordPair] = [
        (words(pair.source_text), words(pair.target_text))
        for pair in support[: arguments.support_pairs]
    ]
    own = [(each.source_words, [word.text for word in each.words]) for each in found]
    silver = alignments.align(own, support=others, iterations=arguments.iterations)
    report = alignments.measure(
        [each.alignment for each in found],
        silver,
        end_mass=[each.end_mass for each in found],
        bootstrap=arguments.bootstrap,
    )
    print(report.table())
    print(
        f"\nsilver links: IBM Model 2, {arguments.iterations} iterations over {len(own)} pairs and "
        f"{len(others)} in support; the reference was given, word by word"
    )
    return 0
