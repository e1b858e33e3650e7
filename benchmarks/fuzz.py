"""Feeds what captioner reads with damaged files: a result or one of our errors, whatever comes.

    python -m benchmarks.fuzz --cases 1000
    python -m benchmarks.fuzz --only png --first 417 --cases 1     # one case again

A case is made from its number alone, so that what was found once is found again. Its process has
20 seconds of processor time for it; what takes longer, ends the process, raises another error than
ours or takes a gigabyte is printed with its number. Numbers that found something once stay in
`FOUND`; the tests try them again.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import random
import resource
import struct
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from captioner import boxes, naming, settings, systems
from captioner import checkpoint as checkpoints
from captioner.captions.checkpoint import Checkpoint
from captioner.confidence import Confidence, Regression
from captioner.errors import CaptionerError
from captioner.formats import lists, registry
from captioner.formats.entries import Entry
from captioner.nn.architecture import ModelConfig
from captioner.nn.model import build_model
from captioner.options import SearchOptions
from captioner.pictures import xmp
from captioner.pictures.embedding import packet_of, with_packet
from captioner.pictures.open import open_photo
from captioner.pictures.preprocess import Preprocess
from captioner.resuming import Earlier, mend
from captioner.storage import checksum
from captioner.text import Vocabulary
from captioner.ui import imports

SECONDS = 20  # of processor time that a case may take
MEMORY = 2**30  # bytes that the process may grow by; the files have a few thousand
FOUND: dict[str, tuple[int, ...]] = {}  # numbers of cases that found something once


@dataclass(frozen=True)
class Target:
    """Something that reads files."""

    seeds: Callable[[], list[bytes]]  # whole files
    read: Callable[[bytes, Path], object]  # what is done with a damaged one
    damage: Callable[[random.Random, Sequence[bytes]], bytes]


@dataclass
class Finding:
    """What is wrong with a case."""

    target: str
    number: int
    what: str


# ---- damage --------------------------------------------------------------------------------------

_INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def bytes_damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A whole file, changed in one to six places."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        # Headers lie in front, where a change means most.
        place = draw.randrange(min(len(data), draw.choice((16, 64, 512, 2**30))) or 1)
        length = draw.choice((1, 2, 4, 16, 200))
        way = draw.randrange(8)
        if way == 0 and data:
            data[place % len(data)] ^= 1 << draw.randrange(8)
        elif way == 1:
            data[place : place + length] = bytes(draw.randrange(256) for _ in range(length))
        elif way == 2:
            del data[place : place + length]
        elif way == 3:
            data[place:place] = data[place : place + length] * draw.choice((1, 2, 50))
        elif way == 4:
            order, kind = draw.choice("<>"), draw.choice("HI")
            value = draw.choice(_INTEGERS) & (0xFFFF if kind == "H" else 0xFFFFFFFF)
            written = struct.pack(order + kind, value)
            data[place : place + len(written)] = written
        elif way == 5:
            del data[place:]
        elif way == 6:
            other = draw.choice(seeds)
            data[place:] = other[draw.randrange(len(other)) :]
        else:
            data[place : place + length] = bytes([draw.choice((0, 255, 10, 34, 92))]) * length
    return bytes(data)


def png_damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A PNG file; half of the time its checksums fit again, or nearly all would fail by them."""
    data = bytes_damaged(draw, seeds)
    if draw.random() < 0.5:
        return data
    fixed, place = bytearray(data), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(data):
            break
        fixed[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(fixed)


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, 5e-324, float("nan"),
    float("inf"), "", " ", "\0", "\ud800", "a\nb\tc", "../../x.jpg", "/etc/passwd", "x" * 5000,
    "\u202e", [], {}, [[]], [None], {"": None}, [1e308] * 9, "dog.jpg", "1", [0, 0, -5, 1e300],
)  # fmt: skip


def _value(draw: random.Random) -> Any:
    return copy.deepcopy(draw.choice(_VALUES))  # or the next case would find it damaged


def document_damaged(draw: random.Random, document: Any) -> Any:
    """A JSON document with one to four of its values changed, gone, or at another place."""
    document = json.loads(json.dumps(document))
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = list(_places(document))
        if not places:
            return _value(draw)
        parent, key = draw.choice(places)
        way = draw.randrange(6)
        if way < 3:
            parent[key] = _value(draw)
        elif way == 3:
            del parent[key]
        elif way == 4:
            other, name = draw.choice(places)
            if isinstance(other, list) or name in other:
                value = other[min(name, len(other) - 1)] if isinstance(other, list) else other[name]
                parent[key] = json.loads(json.dumps(value))
        elif isinstance(parent, list):
            parent.extend([parent[key]] * draw.choice((1, 30)))
        else:
            parent[draw.choice(("", "file_name", "id", "\u0130", "caption"))] = parent[key]
    return document


def _places(value: Any) -> Any:
    """Every (parent, key) in a document."""
    items = enumerate(value) if isinstance(value, list) else ()
    for key, below in value.items() if isinstance(value, dict) else items:
        yield value, key
        yield from _places(below)


def text_damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """JSON, or JSON lines, damaged in its values; or else in its bytes."""
    data = draw.choice(seeds)
    if draw.random() < 0.3:
        return bytes_damaged(draw, seeds)
    lines = data.split(b"\n")
    for place in draw.sample(range(len(lines)), min(len(lines), 2)):
        try:
            document = json.loads(lines[place])
        except ValueError:
            continue
        written = json.dumps(document_damaged(draw, document))
        deep = draw.random() < 0.03
        written = "[" * 9999 + written + "]" * 9999 if deep else written
        written = written.replace("1e+308", "9" * 5000) if draw.random() < 0.1 else written
        lines[place] = written.encode(errors="surrogatepass")
    if lines == data.split(b"\n"):
        return bytes_damaged(draw, seeds)
    return b"\n".join(lines)


def checkpoint_damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A checkpoint damaged in its bytes, or in its header, with a checksum that fits."""
    if draw.random() < 0.3:
        return bytes_damaged(draw, seeds)
    data = draw.choice(seeds)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    entries = {key: json.loads(text) for key, text in header["__metadata__"].items()}
    entries.pop("sha256")
    damaged = document_damaged(draw, entries) if draw.random() < 0.2 else {}
    if isinstance(damaged, dict):
        entries |= damaged
    name = draw.choice(sorted(entries))
    entries[name] = document_damaged(draw, entries[name])
    texts = {key: json.dumps(value) for key, value in entries.items()}
    from safetensors.torch import load

    tensors = load(data)
    if draw.random() < 0.3:
        chosen = draw.choice(sorted(tensors))
        tensors[chosen] = draw.choice(
            (
                tensors[chosen].reshape(-1)[:1],
                tensors[chosen].double() * 1e300,
                torch.zeros(0),
                torch.ones(()),
            )
        ).contiguous()
    texts["sha256"] = json.dumps(checksum(tensors, texts))
    written: dict[str, Any] = {}
    written["__metadata__"] = {k: v.encode("utf-8", "replace").decode() for k, v in texts.items()}
    place, parts = 0, []
    kinds = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64", torch.float16: "F16"}
    for key, value in tensors.items():
        part = value.numpy().tobytes()
        written[key] = {
            "dtype": kinds[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [place, place + len(part)],
        }
        place += len(part)
        parts.append(part)
    head = json.dumps(written).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(parts)


# ---- whole files ---------------------------------------------------------------------------------


def _photos(kind: str) -> list[bytes]:
    """Small pictures of a format, as different as it has them."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (23, 31, 4), dtype=np.uint8)
    colour = Image.fromarray(pixels[..., :3])
    every = [colour, colour.convert("L"), Image.fromarray(pixels), colour.convert("P")]
    ways: dict[str, list[dict[str, Any]]] = {
        "JPEG": [{}, {"progressive": True}, {"quality": 30, "exif": _exif()}],
        "PNG": [{}, {"interlace": 1}, {"exif": _exif()}],
        "WEBP": [{}, {"lossless": True}, {"exif": _exif()}],
        "GIF": [{}, {"save_all": True, "append_images": [colour.rotate(90, expand=True)]}],
        "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "raw"}],
    }
    found = []
    for picture in every:
        for settings_ in ways[kind]:
            if settings_.get("compression") == "jpeg" and picture.mode != "RGB":
                continue  # Pillow's encoder ends the process with some others
            buffer = io.BytesIO()
            try:
                picture.save(buffer, kind, **settings_)
            except (OSError, ValueError):  # a mode that the format has not
                continue
            found.append(buffer.getvalue())
    if kind in ("PNG", "TIFF"):
        deep = Image.fromarray(rng.integers(0, 65536, (9, 7), dtype=np.uint16))
        buffer = io.BytesIO()
        deep.save(buffer, kind)
        found.append(buffer.getvalue())
    if kind != "GIF":
        found.append(with_packet(found[0], xmp.with_texts(None, {xmp.DESCRIPTION: "A dog."})))
    return found


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a dog"
    return exif


def _entries() -> list[Entry]:
    texts = ("A dog runs.", "The dog jumps over a log, fast.", 'Two "men", sleeping')
    return [
        Entry(f"{'below/' * (n % 2)}{n:03}.jpg", texts[n % 2 :], str(n), "train") for n in range(4)
    ]


def _annotations() -> list[bytes]:
    found = []
    for form in registry.FORMATS:
        if form.text is not None:
            several = _entries()
            if not form.several:
                several = [Entry(e.name, e.captions[:1], e.identity, e.split) for e in several]
            try:
                found.append(registry.text_of(several, Path(f"x.{form.name}"), form).encode())
            except CaptionerError:
                continue
    karpathy = {
        "images": [
            {"filename": "1.jpg", "split": "train", "sentences": [{"raw": "A dog."}], "imgid": 1},
            {"filename": "2.jpg", "split": "val", "sentences": [{"tokens": ["a", "cat"]}]},
        ]
    }
    return [*found, json.dumps(karpathy).encode()]


def _instances() -> list[bytes]:
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 30, "height": 20}],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4]}],
    }
    return [json.dumps(document).encode()]


def _objects() -> list[bytes]:
    """As `captioner caption --jsonl --maps` writes them."""
    word = {"word": "dog", "prob": 0.5, "alternatives": [["cat", 0.25]]}
    values = {
        "file": "dog.jpg",
        "caption": "a dog",
        "words": [{**word, "word": "a"}, word],
        "log_prob": -2.5,
        "grid": [2, 2],
        "maps": [[0.25] * 4, [0.1, 0.2, 0.3, 0.4]],
        "error": None,
    }
    more = {**values, "file": "b/cat.png", "confidence": 0.5, "unsure": False, "n_best": []}
    failed = {**values, "caption": "", "words": [], "maps": [], "error": "no such file"}
    return ["".join(json.dumps(v) + "\n" for v in (values, more, failed)).encode()]


def _checkpoints() -> list[bytes]:
    """A captioner's as small as one can be, with a confidence."""
    torch.manual_seed(1)
    config = settings.from_dict(
        ModelConfig,
        {
            "encoder": {
                "image_size": 64,
                "stride": 16,
                "stages": 4,
                "feature_size": 8,
                "weights": "random",
            },
            "attention": {"size": 4},
            "decoder": {"hidden_size": 4, "embedding_size": 4},
        },
    )
    words = Vocabulary(("a", "dog", "cat"))
    model = build_model(config, len(words)).eval()
    regression = Regression(0.1, {"mean_log_prob": 0.5, "lowest_log_prob": -0.5})
    sure = Confidence(regression, regression, 0.5, 0.1, 100, 0.1, 100, 0.9, "for a test")
    found = Checkpoint(
        model,
        config,
        words,
        Preprocess(64),
        search=SearchOptions(max_length=5),
        confidence=sure,
        provenance={"licence": "none", "scores": {}},
    )
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.save(found, Path(folder) / "x.safetensors", torch.float32)
        return [(Path(folder) / "x.safetensors").read_bytes()]


# ---- what reads them -----------------------------------------------------------------------------


def _open(data: bytes, path: Path) -> None:
    open_photo(data, side=64)


def _embed(data: bytes, path: Path) -> None:
    packet = packet_of(data)
    xmp.texts_of(packet)
    xmp.written_by_us(packet, xmp.DESCRIPTION)
    with_packet(data, xmp.with_texts(packet, {xmp.DESCRIPTION: "A cat."}))


def _read_annotations(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    found = registry.read(path)
    captions = [caption for entry in found.entries for caption in entry.captions]
    naming.key_words(captions, naming.common_words(captions))


def _read(read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def from_file(data: bytes, path: Path) -> object:
        path.write_bytes(data)
        return read(path)

    return from_file


def _resume(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    earlier = Earlier()
    with path.open("r+b") as file:
        mend(file, str(path), earlier)
    if path.read_bytes().count(b"\n") != earlier.count:
        raise AssertionError("a line was kept that holds no object, or the other way round")


def _sidecar(data: bytes, path: Path) -> None:
    xmp.texts_of(data)
    xmp.with_texts(data, {xmp.DESCRIPTION: "A cat.", xmp.ALT_TEXT: "A cat."})


def _packets() -> list[bytes]:
    return [xmp.with_texts(None, {xmp.DESCRIPTION: "A dog.", xmp.ALT_TEXT: "A dog."})]


def _picture(kind: str, read: Callable[[bytes, Path], object] = _open) -> Target:
    damage = png_damaged if kind == "PNG" else bytes_damaged
    return Target(lambda: _photos(kind), read, damage)


TARGETS = {
    **{name.lower(): _picture(name) for name in ("JPEG", "PNG", "WEBP", "GIF", "TIFF")},
    **{
        f"{name.lower()} with a caption": _picture(name, _embed)
        for name in ("JPEG", "PNG", "WEBP", "TIFF")
    },
    "xmp": Target(_packets, _sidecar, bytes_damaged),
    "annotations": Target(_annotations, _read_annotations, text_damaged),
    "scores": Target(_annotations, _read(systems.read), text_damaged),
    "lists": Target(_annotations, _read(lists.paths_in), text_damaged),
    "boxes": Target(_instances, _read(boxes.read), text_damaged),
    "imports": Target(_objects, lambda data, path: imports.read(data), text_damaged),
    "resume": Target(_objects, _resume, text_damaged),
    "checkpoints": Target(_checkpoints, _read(checkpoints.load), checkpoint_damaged),
}


# ---- runs ----------------------------------------------------------------------------------------


@dataclass
class Count:
    """What became of the cases of a target."""

    results: int = 0
    refused: int = 0  # by an error of ours
    findings: list[Finding] = field(default_factory=list)


def attempt(name: str, number: int, seeds: Sequence[bytes], folder: Path) -> str | None:
    """Tries one case.

    Returns:
        None for a result; what our error says; or, behind an exclamation mark, what is wrong.
    """
    target = TARGETS[name]
    try:
        data = target.damage(random.Random(f"{name} {number}"), seeds)
        target.read(data, folder / "case")
    except CaptionerError as error:
        text = str(error)
        return f"! an error of {text.count(chr(10)) + 1} lines" if "\n" in text else text
    except Exception:
        return f"! {traceback.format_exc(limit=-3)}"
    return None


def run(name: str, numbers: Sequence[int]) -> Count:
    """Tries cases in processes of their own: one that ends one is told, and the next one begins."""
    count, left = Count(), list(numbers)
    seeds = TARGETS[name].seeds()
    with tempfile.TemporaryDirectory(prefix="captioner-fuzz-") as folder:
        while left:
            reader, writer = os.pipe()
            process = os.fork()
            if not process:
                os.close(reader)
                _work(name, left, seeds, Path(folder), writer)
            os.close(writer)
            with os.fdopen(reader) as lines:
                for line in lines:
                    number, what = json.loads(line)
                    assert number == left.pop(0)
                    _note(count, name, number, what)
            _, status = os.waitpid(process, 0)
            code = os.waitstatus_to_exitcode(status)
            if code and left:
                _note(count, name, left.pop(0), f"! ended its process ({code})")
    return count


def _note(count: Count, name: str, number: int, what: str | None) -> None:
    if what is None:
        count.results += 1
    elif what.startswith("!"):
        count.findings.append(Finding(name, number, what[2:]))
    else:
        count.refused += 1


def _work(name: str, numbers: Sequence[int], seeds: Sequence[bytes], folder: Path, to: int) -> None:
    """Tries cases one after the other; the process ends with the last one."""
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        torch.set_num_threads(1)
        for number in numbers:
            used = resource.getrusage(resource.RUSAGE_SELF)
            most = int(used.ru_utime + used.ru_stime) + SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
            what = attempt(name, number, seeds, folder)
            grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used.ru_maxrss)
            if grown > MEMORY and not (what or "").startswith("!"):
                what = f"! took {grown >> 20} MiB"
            os.write(to, (json.dumps([number, what]) + "\n").encode())
        code = 0
    finally:
        os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries cases of all targets, or of one, and prints what became of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=1000, help="of each target")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", choices=sorted(TARGETS))
    typed = parser.parse_args(arguments)
    wrong = 0
    for name in [typed.only] if typed.only else TARGETS:
        count = run(name, range(typed.first, typed.first + typed.cases))
        print(f"{name}: {count.results} read, {count.refused} refused, {len(count.findings)} wrong")
        for finding in count.findings:
            print(f"  {finding.target} {finding.number}: {finding.what}")
        sys.stdout.flush()
        wrong += len(count.findings)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
