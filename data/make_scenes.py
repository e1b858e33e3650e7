"""Draws a captioned world of its own: pictures, captions, boxes and masks in the COCO formats.

Nothing is downloaded. The same seed draws the same pictures; an interrupted run goes on where it
stopped when the same command is typed again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if (ROOT / "captioner" / "scenes").is_dir():  # in a checkout: the package beside this script
    sys.path.insert(0, str(ROOT))

from captioner import scenes  # noqa: E402  (after the path above)
from captioner.errors import CaptionerError  # noqa: E402

EXAMPLE = """\
example:
  python data/make_scenes.py runs/scenes --train 2000 --val 200 --seed 1 --size 224

writes
  runs/scenes/images/000001.png ...                 training pictures
  runs/scenes/images/500001.png ...                 validation pictures
  runs/scenes/captions_train.json, captions_val.json      five captions a picture
  runs/scenes/instances_train.json, instances_val.json    boxes and masks of what is in it
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="folder to write to; made if it is not there")
    parser.add_argument("--train", type=int, default=2000, help="training pictures (default: 2000)")
    parser.add_argument("--val", type=int, default=200, help="validation pictures (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another world; from 0")
    parser.add_argument(
        "--size",
        type=size,
        default=(224, 224),
        help=f"side of the square pictures, or WIDTHxHEIGHT: {scenes.SMALLEST} to {scenes.LARGEST}"
        " pixels (default: 224)",
    )
    return parser.parse_args(arguments)


def size(text: str) -> tuple[int, int]:
    """Width and height from "224" or "320x240"."""
    width, _, height = text.partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 224 or 320x240") from None


def main(arguments: list[str] | None = None) -> int:
    """Draws, and prints the counts and what to type next."""
    options = parse(arguments)
    try:
        splits = scenes.write(
            options.output,
            train=options.train,
            val=options.val,
            seed=options.seed,
            size=options.size,
        )
    except CaptionerError as error:
        print(f"make_scenes: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake_scenes: stopped; type the same command to go on", file=sys.stderr)
        return 130
    for split in splits:
        print(
            f"{split.name:5}  {split.photos:,} pictures  {split.captions:,} captions"
            f"  {split.words} different words  {split.things:,} things"
        )
    print(f"in {options.output}")
    print("next: captioner train configs/scenes.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
