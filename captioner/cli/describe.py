"""`captioner describe`: what is in a checkpoint, where it comes from and how good it is."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from captioner import tasks
from captioner.cli import flags
from captioner.cli.display import one_line, percent, score_lines
from captioner.errors import CheckpointError, ConfigError


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "describe",
        usage="captioner describe [CHECKPOINT] [--json]",
        description="Shows what is in a checkpoint, where it comes from and how it scored.",
    )
    parser.add_argument(
        "checkpoint", nargs="?", metavar="CHECKPOINT", help="default: the one that came along"
    )
    parser.add_argument(
        "--checkpoint",
        dest="named",
        type=flags.file_name,
        metavar="CHECKPOINT",
        help="the same, as other commands take it",
    )
    parser.add_argument(
        "--json", action="store_true", help="everything as JSON, the vocabulary too"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows a checkpoint in words, or its header as JSON; returns 0."""
    from captioner import checkpoint

    if arguments.checkpoint is not None and arguments.named is not None:
        raise ConfigError(
            f"describe shows one checkpoint, but {arguments.checkpoint} and {arguments.named} are "
            "named; leave one out"
        )
    path = arguments.named if arguments.checkpoint is None else arguments.checkpoint
    header = checkpoint.describe(checkpoint.default_path() if path is None else path)
    if arguments.json:
        print(_escaped(json.dumps(header, indent=2, ensure_ascii=False)))
        return 0
    for line in _lines(header):
        print(line)
    return 0


def _escaped(text: str) -> str:
    """JSON with no character in its strings that a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _lines(header: Mapping[str, Any]) -> list[str]:
    """Everything that is shown, made before any of it is printed.

    Raises:
        CheckpointError: the provenance, which training does not read, is not what it writes.
    """
    try:
        shown = [*_what_it_is(header), *_where_it_is_from(header["provenance"])]
        scores = list(score_lines(header["provenance"]))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = one_line(str(error))[:200]
        raise CheckpointError(
            f"{header['file']}: the provenance is not what captioner writes "
            f"({type(error).__name__}: {reason}); --json shows it as it is"
        ) from error
    return [*(_paragraph(label, text) for label, text in shown), *scores]


def _paragraph(label: str, text: Any) -> str:
    return textwrap.fill(
        one_line(str(text)), 100, initial_indent=f"{label:14}", subsequent_indent=" " * 14
    )


def _what_it_is(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "file", f"{header['file']}, {header['bytes'] / 1e6:.1f} MB, format {header['format']}"
    if "sha256" not in header:
        yield "checksum", "none: written before files had one, so damage would go unnoticed"
    own, unit = _OWN[header["task"]]
    yield from own(header)
    search = header["search"]
    yield (
        "decoding",
        f"beam {search['beam_size']}, length penalty {search['length_penalty']:g}, at most "
        f"{search['max_length']} {unit}{_once(search)}",
    )
    if "confidence" in header:
        yield "confidence", _doubts(header["confidence"])


def _doubts(values: Mapping[str, Any]) -> str:
    shares = [percent(values[name]) for name in ("threshold", "unsure_photos", "unsure_empties")]
    return (
        "the chance that a caption names the thing; expected calibration error "
        f"{values['ece']:.3f} on {values['photos']:,} photos, each left out of the fit. Below "
        f"{shares[0]} a caption is unsure, as {shares[1]} of them were and {shares[2]} of "
        f"{values['empties']:,} pictures with nothing in them ({values['fitted']})"
    )


def _once(search: Mapping[str, Any]) -> str:
    return "" if search.get("repeats", True) else ", no content word twice"


def _of_a_captioner(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    preprocess = header["preprocess"]
    yield "task", "photo to caption"
    yield "encoder", _grid(header["config"]["encoder"])
    yield from _of_every_task(header)
    yield "vocabulary", f"{len(header['vocabulary']) - 4:,} words and 4 special tokens"
    if things := header["config"].get("copy", {}).get("things"):
        yield "copying", f"of the {things} likeliest of {len(header['kinds']):,} kinds of things"
    yield (
        "preprocessing",
        f"squashed to {preprocess['size']} × {preprocess['size']} pixels, mean "
        f"{preprocess['mean']}, standard deviation {preprocess['std']}",
    )


def _of_a_translator(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    encoder, languages = header["config"]["encoder"], header["languages"]
    layers = f", {encoder['layers']} layers" if encoder["layers"] > 1 else ""
    reads = f"bidirectional {encoder['cell'].upper()}{layers}"
    if encoder.get("kind") == "transformer":
        reads = _transformer(encoder)
    yield "task", "sentence to translation"
    yield "languages", ", ".join(f"{source} → {to}" for source, to in languages["directions"])
    yield (
        "encoder",
        f"{reads}: a piece of a word becomes {2 * encoder['hidden_size']} features",
    )
    yield from _of_every_task(header)
    subwords = header["subwords"]
    yield (
        "vocabulary",
        f"{len(subwords['pieces']):,} pieces of words for all languages, 4 special tokens and "
        f"{len(subwords['languages'])} that start a language",
    )


def _of_seeing(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    photo, ways = header["config"]["photo"], header["config"]["attention"]["combination"]
    for label, text in _of_a_translator(header):
        yield label, "sentence and photo to translation" if label == "task" else text
        if label == "encoder":
            yield "photos", _grid(photo)
        if label == "attention":
            yield "", f"{ways}: {_COMBINATIONS[ways]}"


_COMBINATIONS = {
    "flat": "one softmax over the sentence's pieces and the photo's cells",
    "hierarchical": "one look at the sentence, one at the photo, and a third that weighs the two",
}


def _grid(encoder: Mapping[str, Any]) -> str:
    side, cells = encoder["image_size"], encoder["image_size"] // encoder["stride"]
    return (
        f"{encoder['name']}, stride {encoder['stride']}: {side} × {side} pixels become {cells} × "
        f"{cells} cells of {encoder['feature_size']} features{_refined(encoder)}"
    )


def _of_every_task(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    attention, decoder = header["config"]["attention"], header["config"]["decoder"]
    if decoder.get("kind") == "transformer":
        yield from _of_a_transformer(attention, decoder)
        yield "parameters", f"{header['parameters']:,}"
        return
    if attention["score"] == "none":
        step = "every step's context and the" if attention["every_step"] else "the"
        yield "attention", f"none: the encoder's sum is {step} decoder's first state"
    else:
        fed = ", its last context fed back" if attention.get("input_feeding") else ""
        size = f" of size {attention['size']}" if attention["score"] == "additive" else ""
        size += " with coverage" if attention.get("coverage") else ""
        size += f" in {heads} heads" if (heads := attention.get("heads", 1)) > 1 else ""
        yield (
            "attention",
            f"{_kind(attention)}{attention['score']} score{size}, asked {attention['query']} the "
            f"recurrent step{fed}",
        )
    gate = ", gated context" if decoder["gate"] else ""
    tied = ", one matrix for words in and out" if decoder["tie_embeddings"] else ""
    yield (
        "decoder",
        f"{decoder['cell'].upper()} of size {decoder['hidden_size']}, word embeddings of "
        f"{decoder['embedding_size']}{gate}{tied}",
    )
    yield "parameters", f"{header['parameters']:,}"


def _kind(attention: Mapping[str, Any]) -> str:
    """What sets it apart from soft attention, which older files do not name."""
    kind = attention.get("kind", "soft")
    if kind == "hard":
        return f"hard, decoding by {attention['hard']['decode']}; "
    if kind == "sentinel":
        return "adaptive, with a sentinel; "
    if kind in ("local_m", "local_p"):
        local = attention["local"]
        whole = "" if kind == "local_m" or local["renormalise"] else ", not renormalised"
        centre = "moves with the words" if kind == "local_m" else "is predicted"
        return f"local, {local['radius']} around a centre that {centre}{whole}; "
    return ""


def _of_a_transformer(
    attention: Mapping[str, Any], decoder: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    size = f" of size {attention['size']}" if attention["score"] == "additive" else ""
    heads = _count(attention["heads"], "head")
    yield "attention", f"{attention['score']} score{size}, {heads} in each layer; {_map(decoder)}"
    tied = ", one matrix for words in and out" if decoder["tie_embeddings"] else ""
    yield (
        "decoder",
        f"{_transformer(decoder)}, of size {decoder['hidden_size']}, word embeddings of "
        f"{decoder['embedding_size']}{tied}",
    )


def _map(decoder: Mapping[str, Any]) -> str:
    layer, head = decoder["map_layer"], decoder["map_head"]
    which = f"head {head}" if head else "all heads"
    where = f"layer {layer}" if layer else "all layers"
    return f"the map is {'' if layer and head else 'the mean of '}{which} of {where}"


def _transformer(settings: Mapping[str, Any]) -> str:
    """A stack of self-attention, by what it differs in."""
    norm = {"layer": "layer norm", "batch": "batch norm", "none": "no norm"}[settings["norm"]]
    if settings["norm"] != "none":
        norm = f"{'pre' if settings['norm_first'] else 'post'}-{norm}"
    positions = {"none": "no positions"}.get(
        settings["positions"], f"{settings['positions']} positions"
    )
    parts = (
        _count(settings["layers"], "layer"),
        _count(settings["heads"], "head") + " of self-attention",
        norm,
        positions,
        *(() if settings["residual"] else ("no residual connections",)),
    )
    return f"Transformer, {', '.join(parts)}"


def _refined(encoder: Mapping[str, Any]) -> str:
    if not encoder.get("refine"):
        return ""
    positions = {"none": "no"}.get(encoder["positions"], encoder["positions"])
    return (
        f", refined by {_count(encoder['refine'], 'layer')} of self-attention with "
        f"{_count(encoder['heads'], 'head')} and {positions} positions"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_OWN = {  # by task: what only its checkpoints say, and the unit of a sentence's length
    tasks.CAPTION: (_of_a_captioner, "words"),
    tasks.TRANSLATE: (_of_a_translator, "pieces"),
    tasks.MULTIMODAL: (_of_seeing, "pieces"),
}


def _where_it_is_from(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    recipe = provenance.get("recipe", {})
    if recipe:
        sources = recipe["data"]["train"]
        if "pairs" in provenance:
            seen = f" about {provenance['photos']:,} photos" if "photos" in provenance else ""
            counts = f"{provenance['pairs']:,} sentence pairs{seen}"
            files = [s["tsv"] or f"{s['source']} + {s['target']}" for s in sources]
        else:
            counts = f"{provenance['photos']:,} photos with {provenance['captions']:,} captions"
            files = [source["captions"] for source in sources]
        yield "trained on", f"{counts}: {', '.join(files)}"
        phases = ", ".join(f"{p['name'] or 'one phase'} {p['epochs']}" for p in recipe["phases"])
        place = f"{provenance['phase'] or 'its phase'}, epoch {provenance['epoch']}"
        yield "epochs", f"{phases}; best on validation, and so kept: {place}"
    if provenance.get("licence"):
        yield "licence", provenance["licence"]
    if "started_from" in provenance:
        start = provenance["started_from"]
        yield "started from", f"{start['checkpoint']} of {start.get('created', 'unknown date')}"
    if "between" in provenance:
        yield "averaged", f"{provenance['between']['share']:.0%} these weights, the rest another's"
    if "created" in provenance:
        versions = ", ".join(f"{k} {v}" for k, v in provenance.get("versions", {}).items())
        yield "created", f"{provenance['created']}, with {versions}"
