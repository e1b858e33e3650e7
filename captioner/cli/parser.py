"""Everything that can be typed after `captioner`, and what `--help` says about it."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from captioner.cli.settings import add_fields, file_name, help_of, metavar, setting_groups, whole
from captioner.config import (
    ROWS,
    WORKERS,
    DataConfig,
    Recipe,
    SearchOptions,
    Source,
    TranslationRecipe,
)
from captioner.errors import ConfigError

METRICS = ("bleu", "rouge_l", "cider", "meteor")
BEAM_SIZES, LENGTH_PENALTIES = (1, 3, 5), (0.0, 0.5, 0.7, 1.0)  # what `evaluate --search` tries
_BATCH, _WORKERS = whole(1, ROWS), whole(1, WORKERS)
_COUNT, _LIMIT = whole(1, 10**9), whole(0, 10**9)  # the commands say what a limit of 0 cannot be
_PORT = whole(0, 65535)  # 0: any that is free

ABOUT = "Captions photos and shows, for every word, where it looked."
COMMANDS = """\
commands:
  caption      write a sentence about photos, folders of photos, or a list of paths
  explain      what the model thinks of your sentence: how likely each word is, where it looks
  translate    say sentences in another language, and show which word looked at which
  ui           the web page: drop a photo, touch a word, see where it looked
  demo         caption a few photographs that came along with installed packages
  train        teach a model your own captioned photos, from one TOML file
  evaluate     score a checkpoint on captioned photos or sentence pairs
  calibrate    teach a checkpoint how sure its captions can be, from validation photos
  describe     what is in a checkpoint, where it comes from and how good it is
  data check   look for damaged photos, odd captions and leaks between splits
  study        compare translation checkpoints: by length of the sentence, by alignment

examples:
  captioner demo
  captioner caption photo.jpg holiday/ --overlay sheets
  captioner caption holiday/ --jsonl captions.jsonl --maps
  captioner explain photo.jpg "A dog jumps over a log."
  captioner translate --to de "A brown dog runs through the snow."
  captioner train configs/caption.toml --output runs/mine

`captioner COMMAND --help` says more about each.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and shows its texts as they are written."""

    def __init__(self, **settings: Any) -> None:
        def shape(prog: str) -> argparse.HelpFormatter:
            return argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=100)

        super().__init__(formatter_class=shape, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raises what `main` shows."""
        raise ConfigError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parses; what a command does not know is told with the nearest that it does.

        argparse would leave that to the parser above, which knows no command's options.
        """
        found, unknown = super().parse_known_args(args, namespace)
        odd = next((text for text in unknown if text.startswith("-")), None)
        if odd is not None:
            known = [text for action in self._actions for text in action.option_strings]
            near = difflib.get_close_matches(odd.partition("=")[0], known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what is wrong comes out of it as a `ConfigError`."""
    parser = _Parser(prog="captioner", description=ABOUT, epilog=COMMANDS, usage="%(prog)s COMMAND")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(
        dest="command", prog="captioner", help=argparse.SUPPRESS, metavar="COMMAND"
    )
    for add in (
        _add_caption,
        _add_explain,
        _add_translate,
        _add_ui,
        _add_demo,
        _add_train,
        _add_evaluate,
        _add_calibrate,
        _add_describe,
        _add_data,
        _add_study,
    ):
        add(commands)
    return parser


def _add_caption(commands: Any) -> None:
    parser = commands.add_parser(
        "caption",
        usage="captioner caption PATH… [options]",
        description="Writes one line a photo: its path, a tab, its caption.",
        epilog="""\
examples:
  captioner caption photo.jpg
  captioner caption holiday/ 'more/**/*.png' --overlay sheets
  captioner caption holiday/ --jsonl captions.jsonl --maps --n-best 3
  find . -name '*.jpg' | captioner caption - --jsonl - | jq -r .caption

On a terminal, (unsure) behind a caption says that it is less likely than others to name what the
photo shows, if the checkpoint was calibrated; the objects of --jsonl say it by `unsure`.

A file that is no photo is told on standard error, the others go on, and the exit code is 1. So is
what lies in a folder and cannot be read: camera raw and other pictures of kinds that are not read,
folders without permission, pipes. Sheets that captioner drew are left out.""",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="photos, folders (with all photos below, by name) or patterns; `-` reads paths from "
        "standard input, one a line",
    )
    parser.add_argument("--prefix", default="", metavar="TEXT", help="how every caption must begin")
    _add_outputs(parser)
    parser.add_argument("--maps", action="store_true", help="put the maps into the objects too")
    _add_languages(parser)
    _add_model(parser)
    _add_speed(parser)
    _add_decoding(parser, omit=())


def _add_languages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        metavar="LANGUAGE",
        help="translate the captions (de, fr, …): printed behind them, with maps of their own",
    )
    parser.add_argument(
        "--translator",
        type=file_name,
        metavar="FILE",
        help="weights that translate with --to (default: those that came along)",
    )


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        usage="captioner explain PHOTO SENTENCE [options]\n"
        "       captioner explain --input PAIRS.tsv --jsonl FILE [options]",
        description="Shows what the model thinks of your sentence about a photo: for every word "
        "how likely it is after\nthose before it, the likeliest other word there, and over how "
        "much of the photo its map is spread.",
        epilog="""\
examples:
  captioner explain photo.jpg "A dog jumps over a log."
  captioner explain photo.jpg "A cat jumps over a log." --overlay sheets
  captioner explain --input pairs.tsv --jsonl explained.jsonl""",
    )
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="one photo")
    parser.add_argument("sentence", nargs="*", metavar="SENTENCE", help="what you say about it")
    parser.add_argument(
        "--input",
        type=file_name,
        metavar="FILE",
        help="many: a photo's path, a tab and a sentence on every line; `-` is standard input",
    )
    _add_outputs(parser)
    _add_model(parser)
    _add_speed(parser)
    add_fields(parser, SearchOptions, only=("alternatives",))
    parser.set_defaults(maps=True)


def _add_translate(commands: Any) -> None:
    parser = commands.add_parser(
        "translate",
        usage="captioner translate --to LANGUAGE TEXT… [options]\n"
        "       captioner translate --to LANGUAGE --input FILE [options]",
        description="Translates a text, or the lines of a file, sentence by sentence: one line in, "
        "one line out, in\norder. A line that cannot be translated is told on standard error and "
        "leaves an empty line; the\nexit code is then 1. An answer that looks like another "
        "language is told as well, and printed; the\nexit code is 1 for a typed text, 0 for the "
        "lines of a file.\n\n"
        "A row of bare words is one text: captioner translate --to de A dog runs. Where every "
        "argument has a\nspace inside or ends in a full stop or the like, each is a text, with a "
        "line of its own.",
        epilog="""\
examples:
  captioner translate --to de "A brown dog runs through the snow."
  captioner translate --to de "A dog runs." "Two men sit on a bench."
  captioner translate --from fr --to en "Je suis étudiant." --alignment heatmap.png
  captioner translate --to cs --input english.txt --jsonl czech.jsonl > czech.txt
  captioner caption photo.jpg --jsonl - | jq -r .caption | captioner translate --to fr -""",
    )
    parser.add_argument(
        "sentence", nargs="*", metavar="TEXT", help="what to translate; `-` is standard input"
    )
    parser.add_argument("--to", required=True, metavar="LANGUAGE", help="such as de, fr, cs, en")
    parser.add_argument(
        "--from",
        dest="source_language",
        metavar="LANGUAGE",
        help="of the sentences; left out, it is guessed for each and told",
    )
    parser.add_argument(
        "--input", type=file_name, metavar="FILE", help="many: a text on every line"
    )
    parser.add_argument(
        "--jsonl",
        type=file_name,
        metavar="FILE",
        help="write an object a line, with words and alignment; `-` is standard output. "
        "FILE.partial grows line by line and takes the name FILE at the end",
    )
    parser.add_argument(
        "--alignment",
        type=file_name,
        metavar="FILE.png",
        help="draw the heat map of one sentence: which word looked at which",
    )
    _add_overwrite(parser)
    _add_model(parser)
    parser.add_argument(
        "--batch-size",
        type=_BATCH,
        default=64,
        metavar="N",
        help="sentences computed together (default: 64)",
    )
    _add_decoding(parser, omit=("max_length",))


def _add_ui(commands: Any) -> None:
    parser = commands.add_parser(
        "ui",
        usage="captioner ui [options]",
        description="Serves the web page: drop a photo, touch a word of its caption, and see where "
        "it looked.\nNothing leaves this machine, and only this machine reaches the page unless "
        "--host says otherwise.",
        epilog="""\
examples:
  captioner ui --open
  captioner ui --checkpoint runs/mine/best.safetensors --port 8000
  captioner ui --host 0.0.0.0 --auth ann              (asks for ann's password)
  captioner ui --allow-host captions.example --root-path /captions   (behind a proxy)""",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 is every network (default: 127.0.0.1, this machine)",
    )
    parser.add_argument(
        "--port", type=_PORT, default=7860, metavar="N", help="port to listen on (default: 7860)"
    )
    parser.add_argument(
        "--auth",
        metavar="NAME",
        help="what visitors must give before they see the page, with a password that is in "
        "CAPTIONER_PASSWORD or asked for; NAME:PASSWORD shows it to whoever lists processes",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="what a reverse proxy calls the page, such as captions.example or example.org:8443 "
        "(may be repeated)",
    )
    parser.add_argument(
        "--root-path",
        default="",
        metavar="PATH",
        help="where a reverse proxy shows the page, such as /captions (default: at the top)",
    )
    parser.add_argument(
        "--embed",
        metavar="SITE",
        help="a web site that may show the page in a frame, such as https://huggingface.co",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--translator",
        type=file_name,
        metavar="FILE",
        help="weights that translate (default: as they came along)",
    )
    _add_model(parser)


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        usage="captioner demo [options]",
        description="Captions photographs that came along with installed packages (Gradio, "
        "scikit-image), and draws\na sheet for each: every word over the place that it looked at. "
        "Nothing is fetched.",
    )
    parser.add_argument(
        "--output",
        type=file_name,
        default="captioner-demo",
        metavar="DIR",
        help="folder for the sheets (default: ./captioner-demo)",
    )
    _add_overwrite(parser)
    _add_languages(parser)
    _add_model(parser)


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        usage="captioner train CONFIG.toml [--KEY VALUE …] [--resume] [--device DEVICE]",
        description="Trains a model as a recipe says. The recipe is a TOML file; every setting "
        "below stands in it\nunder its name, or is typed here to replace what the file says. A "
        'translator\'s recipe has task =\n"translate" and shares most settings; those of its own '
        "stand at the end.",
        epilog="""\
examples:
  captioner train configs/caption.toml
  captioner train configs/caption.toml --output runs/small --training.batch_size 16
  captioner train configs/caption.toml --init shipped --phases.0.epochs=3
  captioner train configs/caption.toml --resume
  captioner train configs/translate.toml

Ctrl-C saves after the current step; the same command with --resume goes on at that very step.""",
    )
    parser.add_argument("recipe", nargs="?", metavar="CONFIG.toml", help="the recipe")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    _add_device(parser)
    shown: set[str] = set()
    for recipe, whose in ((Recipe, ""), (TranslationRecipe, 'with task = "translate", ')):
        for title, about, settings in setting_groups(recipe):
            own = [setting for setting in settings if setting[0] not in shown]
            if not own:
                continue
            group = parser.add_argument_group(f"{whose}{title}", about)
            for place, entry, default in own:
                shown.add(place)
                help_text = help_of(entry, default)
                group.add_argument(f"--{place}", metavar=metavar(entry), help=help_text)


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        usage="captioner evaluate --captions FILE --images DIR [options]\n"
        "       captioner evaluate --source FILE --target FILE --from LANGUAGE --to LANGUAGE "
        "[options]",
        description="Captions the photos of a split, or translates the sentences of a file, and "
        "compares with what people\nwrote. Each score comes with its recipe, without which it "
        "cannot be compared.",
        epilog="""\
examples:
  captioner evaluate --captions captions_test.json --images images --output scores
  captioner evaluate --checkpoint runs/mine/best.safetensors --captions dataset_flickr8k.json \\
    --images images --split val --search --save-scores validation
  captioner evaluate --checkpoint runs/translate/best.safetensors --source val.en \\
    --target val.de --from en --to de --search --save-scores validation

Choose beam size and length penalty on validation data (--search), then score the test data. A
checkpoint has one decoding for all it does: that of the scores kept last.
METEOR is the Java program METEOR 1.5: it needs a Java runtime and pip install pycocoevalcap.""",
    )
    photos = parser.add_argument_group("captioned photos")
    add_fields(photos, Source)
    photos.add_argument(
        "--metrics",
        type=_metric_names,
        metavar="NAMES",
        help=f"scores, with commas between: {', '.join(METRICS)} (default: bleu,rouge_l,cider)",
    )
    photos.add_argument(
        "--workers", type=_WORKERS, metavar="N", help="threads that open photos (default: 2)"
    )
    pairs = parser.add_argument_group(
        "sentence pairs",
        "Scores: BLEU of lower-cased Moses tokens, BLEU and chrF as sacreBLEU computes them.",
    )
    _add_pair_files(pairs, required=False)
    parser.add_argument(
        "--batch-size",
        type=_BATCH,
        metavar="N",
        help="photos or sentences computed together (default: 32 photos, 64 sentences)",
    )
    parser.add_argument(
        "--limit", type=_LIMIT, metavar="N", help="only the first N photos or pairs"
    )
    parser.add_argument(
        "--bootstrap",
        type=whole(0, 1_000_000),
        default=1000,
        metavar="N",
        help="resamples for the 95 %% intervals; 0 leaves them out (default: 1000)",
    )
    parser.add_argument(
        "--output",
        type=file_name,
        metavar="DIR",
        help="folder for scores.json and captions.jsonl or translations.jsonl, each with its own "
        "score; of photos, extremes.png too: the worst, median and best",
    )
    parser.add_argument(
        "--json",
        type=file_name,
        metavar="FILE",
        help="the scores as JSON; `-` is standard output",
    )
    _add_overwrite(parser)
    parser.add_argument(
        "--search",
        action="store_true",
        help=f"first try beam sizes {', '.join(map(str, BEAM_SIZES))} with length penalties "
        f"{', '.join(map(str, LENGTH_PENALTIES))} and take the best by CIDEr or BLEU; only on "
        "validation data",
    )
    parser.add_argument(
        "--save-scores",
        nargs="?",
        const="",
        metavar="NAME",
        help="write the scores into the checkpoint under this name (default: the split's or the "
        "file's; of pairs, the direction comes behind it), and make this decoding its own",
    )
    _add_model(parser)
    _add_decoding(parser, omit=("n_best", "alternatives"))


def _add_calibrate(commands: Any) -> None:
    parser = commands.add_parser(
        "calibrate",
        usage="captioner calibrate --checkpoint FILE --captions FILE… --images DIR… [options]",
        description="Captions validation photos, and pictures with nothing in them, as the "
        "checkpoint decodes; learns how\nlikely a caption is to name the thing, that is, to say "
        "a word that two of the photo's captions hold\nand that is not among the commonest; and "
        "writes that into the checkpoint. From then on each caption\ncomes with its "
        "confidence, and one below a threshold is marked unsure: nearly all of the pictures\nwith "
        "nothing in them, and a tenth of these photos at most.",
        epilog="""\
examples:
  captioner calibrate --checkpoint runs/mine/best.safetensors --captions captions_val.json \\
    --images images --common captions_train.json
  captioner calibrate --measure --captions captions_test.json --images images

Choose the decoding first (captioner evaluate --search --save-scores): confidence is about captions
that are found so. Take a few hundred photos or more that the weights were not trained on.""",
    )
    parser.add_argument(
        "--captions",
        nargs="+",
        required=True,
        metavar="FILE",
        help="COCO captions JSON, Karpathy JSON or Flickr8k token files",
    )
    parser.add_argument(
        "--images", nargs="+", required=True, metavar="DIR", help="the photos' folder for each"
    )
    add_fields(parser, Source, only=("format", "split"))
    parser.add_argument(
        "--common",
        metavar="FILE",
        help="captions whose commonest words tell little, such as the training captions (default: "
        "those of --captions)",
    )
    parser.add_argument(
        "--limit", type=_LIMIT, metavar="N", help="only the first N photos of each file"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="only measure how well the checkpoint's own confidence does on these photos",
    )
    _add_model(parser)
    _add_speed(parser)


def _add_describe(commands: Any) -> None:
    parser = commands.add_parser(
        "describe",
        usage="captioner describe [CHECKPOINT] [--json]",
        description="Shows what is in a checkpoint, where it comes from and how it scored.",
    )
    parser.add_argument(
        "checkpoint", nargs="?", metavar="CHECKPOINT", help="default: the one that came along"
    )
    parser.add_argument(
        "--json", action="store_true", help="everything as JSON, the vocabulary too"
    )


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", usage="captioner data check …", description="Looks at data.")
    topics = data.add_subparsers(
        dest="topic", prog="captioner data", required=True, metavar="check"
    )
    parser = topics.add_parser(
        "check",
        usage="captioner data check NAME=CAPTIONS:IMAGES[:SPLIT] … | --config CONFIG.toml\n"
        "       captioner data check --captions FILE --images DIR [--format F] [--split S]",
        description="Opens every photo, reads every caption and compares the splits; says what is "
        "wrong and what to do.\nThe exit code is 1 where something has to be mended.",
        epilog="""\
examples:
  captioner data check --config configs/caption.toml
  captioner data check --captions captions_train.json --images images
  captioner data check train=captions_train.json:images test=captions_test.json:images
  captioner data check train=dataset_coco.json:coco:train+restval val=dataset_coco.json:coco:val""",
    )
    parser.add_argument(
        "splits",
        nargs="*",
        metavar="NAME=CAPTIONS:IMAGES[:SPLIT]",
        help="a split: its name, its captions file, its folder of photos, its name in the file",
    )
    parser.add_argument("--config", metavar="CONFIG.toml", help="the data of a training recipe")
    add_fields(parser, Source)
    parser.add_argument(
        "--min-count",
        type=_COUNT,
        metavar="N",
        help="words met fewer times in the training captions count as unknown (default: the "
        f"recipe's, or {DataConfig.min_count})",
    )
    parser.add_argument(
        "--limit",
        type=_LIMIT,
        default=10,
        metavar="N",
        help="findings of one kind that are told apart in a split (default: 10)",
    )


def _add_study(commands: Any) -> None:
    study = commands.add_parser(
        "study",
        usage="captioner study length|alignment …",
        description="Compares translation checkpoints.",
    )
    topics = study.add_subparsers(
        dest="topic", prog="captioner study", required=True, metavar="length|alignment"
    )
    _add_length_study(topics)
    _add_alignment_study(topics)


def _add_length_study(topics: Any) -> None:
    parser = topics.add_parser(
        "length",
        usage="captioner study length NAME=CHECKPOINT … --source FILE --target FILE\n"
        "       --from LANGUAGE --to LANGUAGE [options]",
        description="Scores translations by length of the source, then of sentences joined two "
        "and three at a time:\na table with intervals and a figure. A name with brackets, such as "
        "'attention (short)', is drawn like\nthe name before them, dashed.",
        epilog="""\
examples:
  captioner study length attention=runs/attention/best.safetensors \\
    "last state=runs/bottleneck/best.safetensors" --source val.en --target val.de \\
    --from en --to de --output docs/length""",
    )
    parser.add_argument(
        "systems", nargs="+", metavar="NAME=CHECKPOINT", help="checkpoints and what to call them"
    )
    _add_pairs(parser)
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=NAME",
        help="systems whose difference is wanted, with an interval; may be given several times "
        "(default: the first with each of the others)",
    )
    parser.add_argument(
        "--output",
        type=file_name,
        default="length-study",
        metavar="DIR",
        help="folder for length.md, length.png, length.json and outputs.jsonl (default: "
        "./length-study)",
    )
    _add_overwrite(parser)
    parser.add_argument("--batch-size", type=_BATCH, default=64, metavar="N", help="default: 64")
    _add_device(parser)
    _add_decoding(parser, omit=("n_best", "alternatives", "max_length"))


def _add_alignment_study(topics: Any) -> None:
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
    _add_pairs(parser)
    parser.add_argument(
        "--support",
        nargs=2,
        metavar="FILE",
        help="source and target of further pairs that the aligner learns from: training sentences",
    )
    parser.add_argument(
        "--support-pairs",
        type=_COUNT,
        default=4000,
        metavar="N",
        help="how many of them, from the first on (default: 4000)",
    )
    parser.add_argument(
        "--iterations",
        type=whole(1, 1000),
        default=5,
        metavar="N",
        help="of the aligner's training (default: 5)",
    )
    _add_model(parser)


def _add_pair_files(parser: Any, *, required: bool) -> None:
    """What names sentence pairs, for a parser or a group of one."""
    parser.add_argument("--source", required=required, metavar="FILE", help="a sentence a line")
    parser.add_argument(
        "--target", required=required, metavar="FILE", help="their translations, line by line"
    )
    parser.add_argument(
        "--from", dest="source_language", required=required, metavar="LANGUAGE", help="such as en"
    )
    parser.add_argument("--to", required=required, metavar="LANGUAGE", help="such as de")


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    _add_pair_files(parser, required=True)
    parser.add_argument("--limit", type=_LIMIT, metavar="N", help="only the first N pairs")
    parser.add_argument(
        "--bootstrap",
        type=whole(0, 1_000_000),
        default=1000,
        metavar="N",
        help="resamples for the 95 %% intervals (default: 1000)",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jsonl",
        type=file_name,
        metavar="FILE",
        help="write an object a photo, in input order; `-` is standard output. FILE.partial grows "
        "line by line and takes the name FILE at the end",
    )
    parser.add_argument(
        "--overlay",
        type=file_name,
        metavar="DIR",
        help="draw a sheet a photo: every word over the place that it looked at. The folders of "
        "the photos are mirrored: holiday/dog.jpg has DIR/holiday/dog.png",
    )
    parser.add_argument(
        "--grid", action="store_true", help="show the real grid cells on the sheets, not smoothed"
    )
    _add_overwrite(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what is there already, even where captioner did not write it; what the "
        "command reads is never replaced",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=file_name,
        metavar="FILE",
        help="weights to use (default: those that came along)",
    )
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps, …; auto (default) is a GPU where there is one",
    )


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=_BATCH,
        default=32,
        metavar="N",
        help="photos computed together (default: 32)",
    )
    parser.add_argument(
        "--workers",
        type=_WORKERS,
        default=2,
        metavar="N",
        help="threads that open photos (default: 2)",
    )


def _add_decoding(parser: argparse.ArgumentParser, omit: Sequence[str]) -> None:
    group = parser.add_argument_group(
        "decoding", "What has no default here is as the checkpoint has it (captioner describe)."
    )
    names = [entry.name for entry in dataclasses.fields(SearchOptions) if entry.name not in omit]
    add_fields(group, SearchOptions, only=names)


def _metric_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            raise argparse.ArgumentTypeError(
                f"no score is called {name!r}; expected {', '.join(METRICS)}, with commas between"
            )
    return names
