"""What users see besides the answers: names, help texts, errors, fields of outputs, endpoints."""

from __future__ import annotations

import csv
import inspect
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import reach
from .answers import SENTENCES

COMMANDS = (
    "",
    *("caption", "explain", "translate", "ui", "demo", "train", "evaluate", "describe"),
    *("data", "data check", "study", "study length", "study alignment"),
)
"""Known from the first kept code on; what the main help lists besides joins them."""

COMMON = (
    "A man in a red shirt is standing in front of a building.",
    "A brown dog is running through the snow.",
    "A group of people are sitting at a table.",
)
"""What captioners say of many photos, so that their scores are not 0."""

GERMAN = (
    "Ein Hund läuft über den Stamm.",
    "Ein Mann springt über den roten Ball.",
    "Die Katze springt über einen Hund.",
    "Ein roter Ball.",
    "Ein Mann und ein Käfer sind am Wasser.",
)
_LISTED = re.compile(r"^  ([a-z]+(?: [a-z]+)?) {2,}\S", re.MULTILINE)
_PRIVATE = re.compile(r"0x[0-9a-f]+")  # where an object lies, in a signature's defaults


def names() -> dict[str, dict[str, Any]]:
    """Each public name of the package and of its classes, with its parameters."""
    import captioner

    found = {}
    for name in captioner.__all__:
        value = getattr(captioner, name)
        found[name] = _signature(value)
        if inspect.isclass(value):
            for own, member in inspect.getmembers(value):
                if not own.startswith("_") and not hasattr(BaseException, own):
                    found[f"{name}.{own}"] = _signature(member)
    return found


def _signature(value: Any) -> dict[str, Any]:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return {"parameters": [], "said": ""}
    return {"parameters": list(signature.parameters), "said": _PRIVATE.sub("0x", str(signature))}


def helps() -> dict[str, str]:
    """The help of every command and of every script under `data/`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        main = reach.command(["--help"], folder).out
        listed = dict.fromkeys((*COMMANDS, *_LISTED.findall(main)))
        texts = {
            f"captioner {typed}".strip(): reach.command([*typed.split(), "--help"], folder).out
            for typed in listed
        }
        for script in sorted((reach.package().parent / "data").glob("*.py")):
            if "argparse" in script.read_text(encoding="utf-8"):
                ran = reach.script(script, ["--help"], folder)
                texts[f"data/{script.name}"] = ran.out
    return {typed: text for typed, text in texts.items() if text}


def world(photos: Sequence[Path], folder: Path) -> None:
    """Lays out photos, captions, boxes, pairs and a broken photo, for commands to be tried on."""
    (folder / "images").mkdir()
    images: list[dict[str, Any]] = []
    for number, photo in enumerate(photos, 1):
        name = f"{number:06}{photo.suffix.lower()}"
        shutil.copyfile(photo, folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": 100, "height": 100})
    captions: list[dict[str, Any]] = [
        {"id": 2 * image["id"] + k, "image_id": image["id"], "caption": texts[n % len(texts)]}
        for n, image in enumerate(images)
        for k, texts in enumerate((SENTENCES[:4], COMMON))
    ]
    things = ("dog", "person", "cat", "sports ball")
    boxes = [
        {
            "id": number,
            "image_id": image["id"],
            "category_id": kind,
            "bbox": [20 * kind, 30, 20, 50],
        }
        for number, (image, kind) in enumerate((i, k) for i in images for k in range(len(things)))
    ]
    kinds = [{"id": number, "name": name} for number, name in enumerate(things)]
    _write_json(folder / "captions.json", {"images": images, "annotations": captions})
    _write_json(
        folder / "boxes.json", {"images": images, "annotations": boxes, "categories": kinds}
    )
    few = [one for one in captions if one["image_id"] <= 2]
    _write_json(folder / "few.json", {"images": images[:2], "annotations": few})
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "one.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    (folder / "two.txt").write_text("\n".join(GERMAN) + "\n", encoding="utf-8")
    pairs = [f"images/{image['file_name']}\t{SENTENCES[n % 4]}" for n, image in enumerate(images)]
    (folder / "pairs.tsv").write_text("\n".join([*pairs, "broken.jpg\tA dog.\n"]), encoding="utf-8")


def _write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def outputs(
    photos: Sequence[Path], checkpoint: Path, translator: Path, ways: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What the commands write: fields of objects, scores, tables, and the lines of errors.

    Args:
        photos: two or more.
        checkpoint: of a captioner.
        translator: of a translator.
        ways: the languages that it translates between.
    """
    weights: list[Any] = ["--checkpoint", checkpoint]
    source, to = ways[0]
    languages = ["--from", source, "--to", to]
    pairs = ["--source", "one.txt", "--target", "two.txt", *languages]
    photo_set = ["--captions", "captions.json", "--images", "images"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world(photos, folder)
        first = "images/" + sorted(path.name for path in (folder / "images").iterdir())[0]
        typed: dict[str, list[Any]] = {
            "caption": ["images", "broken.jpg", "--jsonl", "-", "--maps", "--n-best", 3, *weights],
            "caption --to": [
                *("images", "broken.jpg", "--jsonl", "-", "--maps", "--n-best", 2, "--to", to),
                *("--translator", translator, *weights),
            ],
            "explain": ["--input", "pairs.tsv", "--jsonl", "-", *weights],
            "translate": [
                *("--input", "one.txt", "--jsonl", "-", "--n-best", 2, *languages),
                *("--checkpoint", translator),
            ],
            "describe": ["--json", checkpoint],
            "describe (translator)": ["--json", translator],
            "evaluate": [
                *(*photo_set, "--bootstrap", 9, "--json", "-", "--output", "scores", *weights),
            ],
            "evaluate (pairs)": [
                *(*pairs, "--bootstrap", 9, "--json", "-", "--output", "bleu"),
                *("--checkpoint", translator),
            ],
            "study length": [f"it={translator}", *pairs, "--bootstrap", 9, "--output", "study"],
        }
        commands = {title: [*_command(title), *rest] for title, rest in typed.items()}
        ran = {title: reach.command(line, folder) for title, line in commands.items()}
        fields = {title: fields_of(_objects(one.out)) for title, one in ran.items()}
        for file in ("scores/captions.jsonl", "bleu/translations.jsonl", "study/outputs.jsonl"):
            fields[file] = fields_of(_objects(_text(folder / file)))
        fields["study/length.json"] = fields_of(_objects(_text(folder / "study/length.json")))
        scores = {
            title: numbers_of(value.get("scores", {}))
            for title in ("evaluate", "evaluate (pairs)")
            for value in _objects(ran[title].out)
        }
        tables = {
            "data check": reach.command(["data", "check", *photo_set], folder).out,
            "evaluate --boxes": reach.command(
                [*("evaluate", *photo_set, "--boxes", "boxes.json"), "--bootstrap", 0, *weights],
                folder,
            ).out,
        }
        wrong = _errors(folder, first, checkpoint, translator, to)
        scenes = _scenes(folder)
    codes = {title: {"code": one.code, "err": one.err} for title, one in ran.items()}
    return {
        "fields": {title: found for title, found in fields.items() if found},
        "scores": scores,
        "tables": tables,
        "errors": {**wrong, **{f"captioner {title} …": one for title, one in codes.items()}},
        "scenes": scenes,
    }


def _command(title: str) -> list[str]:
    words = re.sub(r" \(.*\)| --.*", "", title)
    return words.split()


def _errors(
    folder: Path, photo: str, checkpoint: Path, translator: Path, to: str
) -> dict[str, dict[str, Any]]:
    """What is said of wrong use, with the exit codes."""
    captioner: list[Any] = ["--checkpoint", checkpoint]
    translating: list[Any] = ["--checkpoint", translator]
    typed: tuple[list[Any], ...] = (
        ["caption"],
        ["caption", "nowhere.jpg", *captioner],
        ["caption", "broken.jpg", *captioner],
        ["caption", photo, "--beam-size", "0", *captioner],
        ["caption", photo, "--prefix", "zyzzyva", *captioner],
        ["caption", photo, "--to", "xx", "--translator", translator, *captioner],
        ["caption", photo, "--checkpoint", "nowhere.safetensors"],
        ["caption", photo, "--checkpoint", "captions.json"],
        ["caption", photo, *translating],
        ["caption", photo, "--device", "abacus", *captioner],
        ["explain", photo, "…", *captioner],
        ["translate", "A dog.", "--to", "xx", *translating],
        ["translate", "", "--to", to, *translating],
        ["translate", "A dog.", "--to", to, *captioner],
        ["evaluate"],
        ["evaluate", "--captions", "captions.json"],
        ["train", "nowhere.toml"],
        ["train", "--batch_size", "3"],
        ["describe", "captions.json"],
        ["data", "check", "x"],
        ["fly"],
    )
    found = {}
    for line in typed:
        ran = reach.command(line, folder)
        said = {str(checkpoint): "CAPTIONER", str(translator): "TRANSLATOR"}
        title = " ".join(said.get(str(word), str(word)) for word in ["captioner", *line])
        text = ran.err
        for path, name in said.items():
            text = text.replace(path, name)
        found[title] = {"code": ran.code, "err": text}
    return found


def _scenes(folder: Path) -> dict[str, str]:
    """The files that `make_scenes.py` writes, with what it prints."""
    path = reach.package().parent / "data" / "make_scenes.py"
    if not path.exists():
        return {}
    flags: list[Any] = ["scenes", "--train", 2, "--val", 1, "--size", 64]
    ran = reach.script(path, flags, folder)
    drawn = sorted(p.relative_to(folder) for p in (folder / "scenes").rglob("*") if p.is_file())
    return {"printed": ran.out, "files": "\n".join(map(str, drawn))}


def page(photo: Path, checkpoint: Path, translator: Path, to: str) -> dict[str, Any]:
    """The endpoints' signatures, as Gradio tells them, and the fields of their answers."""
    from gradio_client import Client, handle_file

    with reach.serving(["--checkpoint", checkpoint, "--translator", translator]) as address:
        client = Client(address, verbose=False)
        sent = handle_file(str(photo))
        calls: dict[str, dict[str, Any]] = {
            "/caption": {"photo": sent, "n_best": 2},
            "/caption to": {"photo": sent, "to": to},
            "/caption_batch": {"photo": sent, "maps": True},
            "/explain": {"photo": sent, "sentence": SENTENCES[0]},
            "/translate": {"text": SENTENCES[0], "to": to},
        }
        fields, errors = {}, {}
        for title, values in calls.items():
            try:
                answer = client.predict(**values, api_name=title.split()[0])
                fields[title] = fields_of([answer])
            except Exception as error:  # whatever this code's page says: it is kept
                errors[title] = str(error)
        info = client.view_api(return_format="dict", print_info=False)
        client.close()
    signatures = {
        name: {
            "parameters": {
                one["parameter_name"]: {
                    "type": one["type"],
                    "default": one["parameter_default"],
                    "has_default": one["parameter_has_default"],
                }
                for one in found["parameters"]
            },
            "returns": [one["type"] for one in found["returns"]],
        }
        for name, found in (info or {})["named_endpoints"].items()
    }
    return {"endpoints": signatures, "fields": fields, "errors": errors}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _objects(text: str) -> list[Any]:
    """The objects of a text: one, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        lines = [line for line in text.splitlines() if line.startswith("{")]
    try:
        return [json.loads(line) for line in lines]
    except ValueError:
        return []


def fields_of(values: Iterable[Any]) -> dict[str, list[str]]:
    """The fields of objects, nested, with the types that were met: {"words[].prob": ["number"]}."""
    found: dict[str, set[str]] = {}

    def walk(value: Any, place: str) -> None:
        found.setdefault(place, set()).add(_type(value))
        if isinstance(value, Mapping):
            for name, own in value.items():
                walk(own, f"{place}.{name}".lstrip("."))
        elif isinstance(value, list):
            for own in value:
                walk(own, f"{place}[]")

    for value in values:
        walk(value, "")
    return {place: sorted(types) for place, types in sorted(found.items()) if place}


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


def numbers_of(value: Any, place: str = "") -> dict[str, float]:
    """All numbers in plain values, by their places."""
    if isinstance(value, Mapping):
        pairs = [numbers_of(own, f"{place}.{name}".lstrip(".")) for name, own in value.items()]
        return {name: number for own in pairs for name, number in own.items()}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {place: float(value)}
    return {}


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
