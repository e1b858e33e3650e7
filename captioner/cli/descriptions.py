"""`captioner describe`: what is in a checkpoint, where it comes from and how good it is."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from captioner.cli.display import print_scores


def describe(arguments: argparse.Namespace) -> int:
    """Shows a checkpoint in words, or its header as JSON; returns 0."""
    from captioner import checkpoint

    header = checkpoint.describe(arguments.checkpoint or checkpoint.default_path())
    if arguments.json:
        print(json.dumps(header, indent=2, ensure_ascii=False))
        return 0
    for label, text in (*_what_it_is(header), *_where_it_is_from(header["provenance"])):
        indent = " " * 14
        print(textwrap.fill(text, 100, initial_indent=f"{label:14}", subsequent_indent=indent))
    print_scores(header["provenance"])
    return 0


def _what_it_is(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    encoder, attention, decoder = (header["config"][k] for k in ("encoder", "attention", "decoder"))
    side, cells = encoder["image_size"], encoder["image_size"] // encoder["stride"]
    preprocess, search = header["preprocess"], header["search"]
    gate = ", gated context" if decoder["gate"] else ""
    tied = ", one matrix for words in and out" if decoder["tie_embeddings"] else ""
    yield "file", f"{header['file']}, {header['bytes'] / 1e6:.1f} MB, format {header['format']}"
    yield "task", "photo to caption" if header["task"] == "caption" else header["task"]
    yield (
        "encoder",
        f"{encoder['name']}, stride {encoder['stride']}: {side} × {side} pixels become {cells} × "
        f"{cells} cells of {encoder['feature_size']} features",
    )
    yield (
        "attention",
        f"{attention['score']} score of size {attention['size']}, asked {attention['query']} the "
        "recurrent step",
    )
    yield (
        "decoder",
        f"{decoder['cell'].upper()} of size {decoder['hidden_size']}, word embeddings of "
        f"{decoder['embedding_size']}{gate}{tied}",
    )
    yield "parameters", f"{header['parameters']:,}"
    yield "vocabulary", f"{len(header['vocabulary']) - 4:,} words and 4 special tokens"
    yield (
        "preprocessing",
        f"squashed to {preprocess['size']} × {preprocess['size']} pixels, mean "
        f"{preprocess['mean']}, standard deviation {preprocess['std']}",
    )
    yield (
        "decoding",
        f"beam {search['beam_size']}, length penalty {search['length_penalty']:g}, at most "
        f"{search['max_length']} words",
    )


def _where_it_is_from(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    recipe = provenance.get("recipe", {})
    if recipe:
        sources = ", ".join(source["captions"] for source in recipe["data"]["train"])
        counts = f"{provenance['photos']:,} photos with {provenance['captions']:,} captions"
        yield "trained on", f"{counts}: {sources}"
        phases = ", ".join(f"{p['name'] or 'one phase'} {p['epochs']}" for p in recipe["phases"])
        place = f"{provenance['phase'] or 'its phase'}, epoch {provenance['epoch']}"
        yield "epochs", f"{phases}; best on validation, and so kept: {place}"
    if provenance.get("licence"):
        yield "licence", provenance["licence"]
    if "started_from" in provenance:
        start = provenance["started_from"]
        yield "started from", f"{start['checkpoint']} of {start.get('created', 'unknown date')}"
    if "created" in provenance:
        versions = ", ".join(f"{k} {v}" for k, v in provenance.get("versions", {}).items())
        yield "created", f"{provenance['created']}, with {versions}"
