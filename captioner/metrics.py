"""Scores: strings in, `Score` out; for captions and for translations, each with its recipe.

Values are fractions as in the COCO caption evaluation (Chen et al. 2015, arXiv:1504.00325): BLEU,
ROUGE-L, METEOR and chrF lie in 0..1, CIDEr in 0..10. P photos or sentences, R references of a
photo.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import chain, islice, zip_longest
from typing import Any, NamedTuple

import numpy as np

from captioner import meteor as _program
from captioner.chrf import CHRF_BETA, CHRF_ORDER, chrf_counts, chrf_values
from captioner.errors import MetricError
from captioner.options import RESAMPLES
from captioner.text import tokenise
from captioner.words import is_content

Tokens = Sequence[str]
Ngram = tuple[str, ...]
Written = str | Sequence[str]  # one reference of a sentence, or several
_References = Sequence[tuple[str, ...]]  # those of each sentence
NGRAM_ORDER = 4
CIDER_SIGMA = 6.0  # width of the length penalty, Vedantam et al. 2015, equation 4 (CIDEr-D)
ROUGE_BETA = 1.2  # weight of recall against precision in the COCO evaluation
CIDER_OF_ONE = "of one photo always 0, as each of its words is in all photos: says nothing"
DRAWN_AT_A_TIME = 2**22  # resamples × photos held at once: 32 MiB


@dataclass(frozen=True)
class Score:
    """One number with its recipe."""

    name: str  # key in the result of `score` or `score_translations`
    value: float  # nan where it could not be computed; `recipe` then says why
    interval: tuple[float, float] | None  # 95 % bootstrap over photos or sentences (low, high)
    recipe: str  # one line: what was computed from what

    def __str__(self) -> str:
        spread = f" [{self.interval[0]:.4f}, {self.interval[1]:.4f}]" if self.interval else ""
        return f"{self.name} {self.value:.4f}{spread} ({self.recipe})"

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain JSON values; a missing value is None, as JSON knows no nan."""
        fields = asdict(self)
        fields["value"] = None if math.isnan(self.value) else self.value
        fields["interval"] = list(self.interval) if self.interval else None
        return fields


def score(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    names: Sequence[str] = ("bleu", "rouge_l", "cider"),
    bootstrap: int = RESAMPLES,
    seed: int = 0,
    decoding: str = "",
) -> dict[str, Score]:
    """Scores of one caption a photo against the references of that photo.

    The interval is a percentile bootstrap over photos; CIDEr's document frequencies stay those of
    the full set in every resample. METEOR without its Java program is a `Score` of nan whose
    recipe says what is missing; the other scores stand.

    Args:
        candidates: P captions.
        references: for each of the P photos at least one raw caption.
        names: any of "bleu", "rouge_l", "cider", "meteor".
        bootstrap: number of resamples; 0 leaves the intervals out.
        seed: seed of the resampling.
        decoding: how the captions were found, e.g. "beam 3, length penalty 0.7"; for the recipe.

    Returns:
        Scores by name: bleu_1 .. bleu_4, rouge_l, cider, meteor.

    Raises:
        MetricError: lengths differ, there is no photo, a photo has no reference, or a name is
            unknown.
    """
    _check_names(names, _MEASURES)
    _check_pairs(candidates, references)
    _check_bootstrap(bootstrap)
    said = [tokenise(caption) for caption in candidates]
    wanted = [[tokenise(caption) for caption in captions] for captions in references]
    found, absent = _statistics(names, said, wanted)
    resampled = resample_photos(found, len(said), bootstrap, seed) if found and bootstrap else {}
    context = _context(references, bootstrap, seed, decoding)
    scores: dict[str, Score] = {}
    for name, statistics in found.items():
        scores |= _MEASURES[name].scores(statistics, resampled.get(name), context)
    for name, reason in absent.items():
        scores |= {each: Score(each, math.nan, None, reason) for each in _MEASURES[name].titles}
    return scores


def score_translations(
    candidates: Sequence[str],
    references: Sequence[Written],
    language: str,
    *,
    names: Sequence[str] = ("bleu", "sacrebleu", "chrf"),
    bootstrap: int = RESAMPLES,
    seed: int = 0,
    decoding: str = "",
) -> dict[str, Score]:
    """Scores of one translation a sentence against its references, as people write both.

    - "bleu": corpus BLEU of lower-cased Moses tokens (`tokenise_moses`), which the publications on
      Multi30k report;
    - "sacrebleu": BLEU as sacreBLEU computes it (Post 2018, arXiv:1804.08771), cased, with its own
      tokens;
    - "chrf": chrF2 (Popović 2015), cased F-score of n-grams of characters.

    They differ by points on the same output, and their recipes begin with what tells them apart. A
    score whose package is missing is nan, and its recipe says so.

    Args:
        candidates: P translations, detokenised and cased.
        references: P, raw: a text, or several for a sentence.
        language: ISO 639-1 code of what both are written in; the tokens depend on it.
        names: any of "bleu", "sacrebleu", "chrf".
        bootstrap: number of resamples; 0 leaves the intervals out.
        seed: seed of the resampling; systems scored with one seed are resampled alike.
        decoding: how the translations were found; for the recipe.

    Raises:
        MetricError: lengths differ, there is no sentence, one has no reference, or a name is
            unknown.
    """
    _check_names(names, _TRANSLATION_COUNTS)
    wanted = _check_translations(candidates, references)
    _check_bootstrap(bootstrap)
    counted: dict[str, _Counted] = {}
    scores: dict[str, Score] = {}
    for name in names:
        try:
            counted[name] = _TRANSLATION_COUNTS[name](candidates, wanted, language)
        except MetricError as error:
            scores[name] = Score(name, math.nan, None, str(error))
    statistics = {name: each.statistics for name, each in counted.items()}
    sums = (
        resample_photos(statistics, len(candidates), bootstrap, seed)
        if counted and bootstrap
        else {}
    )
    context = _sentence_context(wanted, bootstrap, seed, decoding)
    for name, each in counted.items():
        interval = _interval(each.values(sums[name])) if name in sums else None
        scores[name] = Score(name, each.value, interval, f"{each.title} | {context}")
    return {name: scores[name] for name in names}


def gleu(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]
) -> np.ndarray:
    """GLEU of each sentence against its reference, (K,): Wu et al. 2016, §5.

    The smaller of precision and recall over all n-grams of one to four words: unlike BLEU, a
    measure of single sentences. What a word is, is the caller's business.

    Raises:
        MetricError: the counts differ.
    """
    from nltk.translate.gleu_score import sentence_gleu  # slow to import

    if len(candidates) != len(references):
        raise MetricError(f"{len(candidates)} sentences came with {len(references)} references.")
    pairs = zip(candidates, references, strict=True)
    each = [sentence_gleu([reference], candidate, 1, NGRAM_ORDER) for candidate, reference in pairs]
    return np.array(each, dtype=float)


def tokenise_moses(sentences: Iterable[str], language: str) -> list[list[str]]:
    """Lower-cased tokens of sentences as Moses makes them, punctuation normalised and kept.

    That is what the publications on Multi30k call `lc.norm.tok`, apostrophes not escaped.

    Raises:
        MetricError: the package sacremoses is missing.
    """
    try:
        from sacremoses import MosesPunctNormalizer, MosesTokenizer
    except ModuleNotFoundError:
        raise MetricError(_missing("BLEU of Moses tokens", "sacremoses")) from None
    normaliser, tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)
    plain = (normaliser.normalize(sentence.lower()) for sentence in sentences)
    return [tokenizer.tokenize(sentence, escape=False) for sentence in plain]


def moses_recipe(language: str) -> str:
    """The recipe of BLEU over `tokenise_moses`, which sets it apart from other BLEUs."""
    version = metadata.version("sacremoses")
    return f"BLEU-4, corpus | tokens: lower-cased, Moses (sacremoses {version}, {language})"


def resample(statistics: np.ndarray, bootstrap: int, seed: int) -> np.ndarray:
    """Sums over P photos or sentences drawn with replacement, as often as `bootstrap` says.

    The same P and seed draw the same ones: what is computed of two systems' sums can be compared
    draw by draw (paired bootstrap, Koehn 2004).

    Args:
        statistics: (P, S).
        bootstrap: number of resamples.
        seed: of the resampling.

    Returns:
        (bootstrap, S).
    """
    return resample_photos({"own": statistics}, len(statistics), bootstrap, seed)["own"]


def moses_bleu_counts(
    said: Sequence[str], references: Sequence[Sequence[str]], language: str
) -> np.ndarray:
    """The counts (P, 9) of translations, as `bleu` returns them, of tokens as Moses makes them.

    Raises:
        MetricError: the package sacremoses is missing.
    """
    tokens = iter(tokenise_moses(chain.from_iterable(references), language))
    wanted = [list(islice(tokens, len(own))) for own in references]
    return bleu(tokenise_moses(said, language), wanted)[1]


def summed_bleu(counts: np.ndarray) -> np.ndarray:
    """BLEU-4 (...) of summed counts (..., 9), which `bleu` returns for every sentence."""
    values: np.ndarray = _bleu_values(counts, 0)[..., -1]
    return values


def bleu(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> tuple[np.ndarray, np.ndarray]:
    """Corpus BLEU-1..4 (Papineni et al. 2002), closest reference length, no smoothing.

    Returns:
        Values (4,) and the photos' counts (P, 9): matched 1..4-grams, 1..4-grams, length of the
        closest reference (the shorter one of two equally close).
    """
    _check_pairs(candidates, references)
    counts = np.array([_bleu_counts(*pair) for pair in zip(candidates, references, strict=True)])
    return _bleu_values(counts.sum(axis=0), len(counts)), counts


def rouge_l(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> tuple[float, np.ndarray]:
    """ROUGE-L (Lin 2004, section 3) with the best precision and recall over the references.

    Returns:
        Mean over photos and the photos' values (P,).
    """
    _check_pairs(candidates, references)
    values = np.array([_rouge_l(*pair) for pair in zip(candidates, references, strict=True)])
    return float(values.mean()), values


def cider(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> tuple[float, np.ndarray]:
    """CIDEr-D (Vedantam et al. 2015, section 4), document frequencies from these references.

    On one photo it is 0: every n-gram occurs in all photos, and the logarithm of 1 is 0.

    Returns:
        Mean over photos and the photos' values (P,).
    """
    _check_pairs(candidates, references)
    values = CiderScorer(references).score(candidates, range(len(candidates)))
    return float(values.mean()), values


def meteor(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> tuple[float, np.ndarray]:
    """METEOR 1.5 for English (Denkowski and Lavie 2014), with the authors' Java program.

    Returns:
        Corpus value and the photos' statistics (P, 23); their sums decide the corpus value.

    Raises:
        MetricError: Java or the package pycocoevalcap is missing, or the program failed.
    """
    _check_pairs(candidates, references)
    answers = _program.run(
        [
            " ||| ".join(["SCORE", *map(_program.line, captions), _program.line(candidate)])
            for candidate, captions in zip(candidates, references, strict=True)
        ]
    )
    statistics = np.array([answer.split() for answer in answers], dtype=float)
    # The program does not punish a caption that is word for word its reference for its one chunk.
    same = (statistics[:, :2] == statistics[:, 21:]).all(axis=1) & (statistics[:, 20] == 1)
    statistics[same, 20] = 0
    return float(_program.values(statistics.sum(axis=0), len(statistics))[0]), statistics


def chrf(candidates: Sequence[str], references: Sequence[Written]) -> tuple[float, np.ndarray]:
    """chrF2 (Popović 2015) of cased sentences, each against the nearest of its references.

    Returns:
        Corpus value and the sentences' values (P,).
    """
    wanted = _check_translations(candidates, references)
    pairs = zip(candidates, wanted, strict=True)
    counts = np.array([chrf_counts(*pair) for pair in pairs])
    return float(chrf_values(counts.sum(axis=0))), chrf_values(counts)


def repeated_words(tokens: Tokens) -> list[str]:
    """The content words of a caption that it has said before, in their order.

    "a brown and brown dog" repeats `brown`; that articles and prepositions return is no fault.
    """
    said: set[str] = set()
    again = []
    for token in tokens:
        if is_content(token):
            if token in said:
                again.append(token)
            said.add(token)
    return again


class CiderScorer:
    """CIDEr-D against fixed references: document frequencies are counted once."""

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        """Counts in how many photos each n-gram occurs.

        Args:
            references: tokens of at least one caption for each photo.
        """
        _check_references(references)
        self._references = references
        frequency: Counter[Ngram] = Counter()
        for captions in references:
            frequency.update({ngram for caption in captions for ngram in _ngrams(caption)})
        self._rarest = math.log(len(references))
        self._idf = {ngram: self._rarest - math.log(n) for ngram, n in frequency.items()}

    def score(self, candidates: Sequence[Tokens], owners: Sequence[int]) -> np.ndarray:
        """CIDEr-D of each caption against the references of the photo that it belongs to.

        Args:
            candidates: tokens of any number of captions.
            owners: for each caption, the index of its photo in the references.

        Returns:
            Values (len(candidates),).

        Raises:
            MetricError: the lengths differ, or an owner is not the index of a photo.
        """
        if len(candidates) != len(owners):
            raise MetricError(f"{len(candidates)} captions came with {len(owners)} owners.")
        if any(not 0 <= owner < len(self._references) for owner in owners):
            raise MetricError(
                f"An owner is not one of the {len(self._references)} photos (from 0)."
            )
        # Vectors of all references of a large set would fill the memory; these are quickly made.
        photos = {owner: [self._vector(r) for r in self._references[owner]] for owner in owners}
        return np.array(
            [
                _cider_d(self._vector(caption), photos[owner])
                for caption, owner in zip(candidates, owners, strict=True)
            ],
            dtype=float,
        )

    def _vector(self, tokens: Tokens) -> _TfIdf:
        counts = Counter(_ngrams(tokens))
        weights = {ngram: n * self._idf.get(ngram, self._rarest) for ngram, n in counts.items()}
        squares = [0.0] * NGRAM_ORDER
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight * weight
        return _TfIdf(weights, [math.sqrt(square) for square in squares], len(tokens))


class _TfIdf(NamedTuple):
    weights: dict[Ngram, float]
    norms: list[float]  # one for each n-gram length
    length: int


def _cider_d(candidate: _TfIdf, references: Sequence[_TfIdf]) -> float:
    similarities = [_similarity(candidate, reference) for reference in references]
    return 10.0 * sum(similarities) / len(similarities)


def _similarity(candidate: _TfIdf, reference: _TfIdf) -> float:
    """Clipped cosine of the tf-idf vectors, mean over n-gram lengths, with the length penalty."""
    products = [0.0] * NGRAM_ORDER
    for ngram, weight in candidate.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            products[len(ngram) - 1] += min(weight, other) * other
    cosines = (
        product / (mine * theirs)
        for product, mine, theirs in zip(products, candidate.norms, reference.norms, strict=True)
        if product
    )
    apart = candidate.length - reference.length
    return sum(cosines) / NGRAM_ORDER * math.exp(-(apart**2) / (2 * CIDER_SIGMA**2))


def _ngrams(tokens: Tokens) -> Iterator[Ngram]:
    tails = [tokens[start:] for start in range(NGRAM_ORDER)]
    return chain.from_iterable(zip(*tails[:n], strict=False) for n in range(1, NGRAM_ORDER + 1))


def _bleu_counts(candidate: Tokens, references: Sequence[Tokens]) -> list[int]:
    most: Counter[Ngram] = Counter()
    for reference in references:
        most |= Counter(_ngrams(reference))
    matched = [0] * NGRAM_ORDER
    for ngram, n in Counter(_ngrams(candidate)).items():
        matched[len(ngram) - 1] += min(n, most[ngram])
    length = len(candidate)
    total = [max(0, length - n) for n in range(NGRAM_ORDER)]
    closest = min((len(reference) for reference in references), key=lambda r: (abs(r - length), r))
    return [*matched, *total, closest]


def _bleu_values(totals: np.ndarray, _photos: int) -> np.ndarray:
    """BLEU-1..4 (..., 4) of summed counts (..., 9)."""
    matched, total = totals[..., :NGRAM_ORDER], totals[..., NGRAM_ORDER:-1]
    with np.errstate(divide="ignore"):  # no match: log 0 = -inf, and BLEU is 0
        logs = np.log(matched / np.maximum(total, 1))
    means = np.cumsum(logs, axis=-1) / np.arange(1, NGRAM_ORDER + 1)
    brevity = np.minimum(0.0, 1.0 - totals[..., -1] / np.maximum(total[..., 0], 1))
    return np.exp(means + brevity[..., None])


def _rouge_l(candidate: Tokens, references: Sequence[Tokens]) -> float:
    common = [common_length(candidate, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(n / max(1, len(r)) for n, r in zip(common, references, strict=True))
    squared = ROUGE_BETA**2
    return (1 + squared) * precision * recall / (recall + squared * precision)


def common_length(first: Tokens, second: Tokens) -> int:
    """Length of the longest common subsequence, one bit a word (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    row = every = (1 << len(first)) - 1
    for word in second:
        hits = row & places.get(word, 0)
        row = (row + hits) | (row - hits)
    return (~row & every).bit_count()


def _mean(totals: np.ndarray, photos: int) -> np.ndarray:
    return totals / photos


@dataclass(frozen=True)
class _Measure:
    """A score as a function of sums over photos, so that resampling is one matrix product."""

    titles: dict[str, str]  # name of each value -> how the recipe calls it
    statistics: Callable[[Sequence[Tokens], Sequence[Sequence[Tokens]]], np.ndarray]  # (P, S)
    values: Callable[[np.ndarray, int], np.ndarray]  # sums (..., S), P -> (..., len(titles))
    note: Callable[[np.ndarray, int], str] = lambda _totals, _photos: ""  # remark for the recipe

    def scores(
        self, statistics: np.ndarray, resampled: np.ndarray | None, context: str
    ) -> dict[str, Score]:
        photos, totals = len(statistics), statistics.sum(axis=0)
        values = self.values(totals, photos)
        intervals: list[tuple[float, float] | None] = [None] * len(self.titles)
        if resampled is not None:
            low, high = np.quantile(self.values(resampled, photos), (0.025, 0.975), axis=0)
            intervals = list(zip(low.tolist(), high.tolist(), strict=True))
        return {
            name: Score(
                name, float(value), interval, f"{title} | {self.note(totals, photos)}{context}"
            )
            for (name, title), value, interval in zip(
                self.titles.items(), values, intervals, strict=True
            )
        }


_MEASURES = {
    "bleu": _Measure(
        {f"bleu_{n}": f"BLEU-{n}, corpus" for n in range(1, NGRAM_ORDER + 1)},
        lambda said, wanted: bleu(said, wanted)[1],
        _bleu_values,
        lambda totals, _: f"length ratio {totals[NGRAM_ORDER] / max(1, totals[-1]):.3f} | ",
    ),
    "rouge_l": _Measure(
        {"rouge_l": "ROUGE-L"}, lambda said, wanted: rouge_l(said, wanted)[1][:, None], _mean
    ),
    "cider": _Measure(
        {"cider": "CIDEr-D"},
        lambda said, wanted: cider(said, wanted)[1][:, None],
        _mean,
        lambda _, photos: f"{CIDER_OF_ONE} | " if photos == 1 else "",
    ),
    "meteor": _Measure(
        {"meteor": "METEOR 1.5"}, lambda said, wanted: meteor(said, wanted)[1], _program.values
    ),
}


@dataclass(frozen=True)
class _Counted:
    """A score of translations, and what it takes to know it of resampled sentences."""

    title: str  # first parts of the recipe
    value: float
    statistics: np.ndarray  # (P, S)
    values: Callable[[np.ndarray], np.ndarray]  # sums (..., S) -> (...)


def _moses_bleu(said: Sequence[str], wanted: _References, language: str) -> _Counted:
    counts = moses_bleu_counts(said, wanted, language)
    title = f"{moses_recipe(language)} | {_length_ratio(counts)}"
    return _Counted(title, float(summed_bleu(counts.sum(0))), counts, summed_bleu)


def _sacrebleu(said: Sequence[str], wanted: _References, _language: str) -> _Counted:
    metric = _sacrebleu_metrics().BLEU()
    value = metric.corpus_score(said, _streams(wanted)).score / 100

    def tokens(sentence: str) -> list[str]:
        return metric.tokenizer(sentence.rstrip()).split()

    pairs = zip(map(tokens, said), wanted, strict=True)
    counts = np.array([_bleu_counts(mine, [*map(tokens, own)]) for mine, own in pairs])
    title = f"BLEU of sacreBLEU, {metric.get_signature()} | {_length_ratio(counts)}"
    return _Counted(title, value, counts, _smoothed_bleu)


def _chrf(said: Sequence[str], wanted: _References, _language: str) -> _Counted:
    metric = _sacrebleu_metrics().CHRF(char_order=CHRF_ORDER, beta=CHRF_BETA)
    value = metric.corpus_score(said, _streams(wanted)).score / 100
    counts = np.array([chrf_counts(*pair) for pair in zip(said, wanted, strict=True)])
    title = f"chrF2 of sacreBLEU, {metric.get_signature()}"
    return _Counted(title, value, counts, chrf_values)


def _streams(wanted: _References) -> list[tuple[str | None, ...]]:
    """References as sacreBLEU takes them: all first ones, all second ones, None where one lacks."""
    return list(zip_longest(*wanted))


_TRANSLATION_COUNTS = {"bleu": _moses_bleu, "sacrebleu": _sacrebleu, "chrf": _chrf}


def _sacrebleu_metrics() -> Any:
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError:
        raise MetricError(_missing("sacreBLEU and chrF", "sacrebleu")) from None
    return metrics


def _missing(score: str, package: str) -> str:
    return f"{score}: the package {package} is missing; pip install 'captioner[scores]'."


def _length_ratio(counts: np.ndarray) -> str:
    totals = counts.sum(axis=0)
    return f"length ratio {totals[NGRAM_ORDER] / max(1, totals[-1]):.3f}"


def _smoothed_bleu(totals: np.ndarray) -> np.ndarray:
    """BLEU-4 (...) of summed counts (..., 9), smoothed as by sacreBLEU ("exp").

    The first n-gram length without a match counts 1/2 match, the next 1/4 (Chen and Cherry 2014,
    method 3). Other than in `_bleu_values`, an output without any match is 0 all the same.
    """
    matched, total = totals[..., :NGRAM_ORDER], totals[..., NGRAM_ORDER:-1]
    halves = 0.5 ** np.cumsum(matched == 0, axis=-1)
    precisions = np.where(matched == 0, halves, matched) / np.maximum(total, 1)
    brevity = np.minimum(0.0, 1.0 - totals[..., -1] / np.maximum(total[..., 0], 1))
    values = np.exp(np.log(precisions).mean(axis=-1) + brevity)
    value: np.ndarray = np.where((total[..., -1] > 0) & matched.any(axis=-1), values, 0.0)
    return value


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _sentence_context(wanted: _References, bootstrap: int, seed: int, decoding: str) -> str:
    drawn = f"bootstrap {bootstrap}, seed {seed}" if bootstrap else "no bootstrap"
    counts = sorted({len(own) for own in wanted})
    several = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    references = f"{several} reference{'s' if counts[-1] > 1 else ''} a sentence"
    return " | ".join(p for p in (references, f"N {len(wanted)}", drawn, decoding) if p)


def _check_translations(candidates: Sequence[str], references: Sequence[Written]) -> _References:
    """The references of each sentence.

    Raises:
        MetricError: they, or the candidates, are not what they should be.
    """
    wanted = [tuple(own) if isinstance(own, (list, tuple)) else (own,) for own in references]
    listed = (("candidates", candidates, [candidates]), ("references", references, wanted))
    for name, given, texts in listed:
        if isinstance(given, str) or not all(isinstance(t, str) for t in chain(*texts)):
            raise MetricError(f"The {name} are no list of sentences: give one string a sentence.")
    if len(candidates) != len(references):
        raise MetricError(
            f"{len(candidates)} translations came with {len(references)} references: give one "
            "reference for each translation, or a list of several."
        )
    if not references:
        raise MetricError("There is no sentence to score: give at least one with its reference.")
    if not all(wanted):
        number = next(n for n, own in enumerate(wanted, 1) if not own)
        raise MetricError(f"Sentence {number} has no reference: give at least one.")
    return wanted


def _statistics(
    names: Sequence[str], said: Sequence[Tokens], wanted: Sequence[Sequence[Tokens]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What each measure keeps of each photo, and why a measure could not be taken."""
    found: dict[str, np.ndarray] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            found[name] = _MEASURES[name].statistics(said, wanted)
        except MetricError as error:
            absent[name] = str(error)
    return found, absent


def resample_photos(
    found: dict[str, np.ndarray], photos: int, bootstrap: int, seed: int
) -> dict[str, np.ndarray]:
    """Sums (bootstrap, S) of each measure over the same resampled photos."""
    columns = np.concatenate(list(found.values()), axis=1)
    chance = np.full(photos, 1 / photos)
    rng = np.random.default_rng(seed)
    rows = max(1, DRAWN_AT_A_TIME // photos)
    sums = np.concatenate(
        [
            rng.multinomial(photos, chance, size=min(rows, bootstrap - start)) @ columns
            for start in range(0, bootstrap, rows)
        ]
    )
    edges = np.cumsum([statistics.shape[1] for statistics in found.values()])[:-1]
    return dict(zip(found, np.split(sums, edges, axis=1), strict=True))


def _context(references: Sequence[Sequence[str]], bootstrap: int, seed: int, decoding: str) -> str:
    fewest, most = min(map(len, references)), max(map(len, references))
    each = str(most) if fewest == most else f"{fewest} to {most}"
    plural = "" if most == 1 else "s"
    parts = [
        "tokens: lower-cased, punctuation stripped",
        f"{each} reference{plural} a photo",
        f"N {len(references)}",
        f"bootstrap {bootstrap}, seed {seed}" if bootstrap else "no bootstrap",
        decoding,
    ]
    return " | ".join(part for part in parts if part)


def _check_names(names: Sequence[str], known: Collection[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MetricError(f"No score is called {unknown[0]!r}: choose from {', '.join(known)}.")


def _check_bootstrap(bootstrap: int) -> None:
    if bootstrap < 0:
        raise MetricError(f"bootstrap is {bootstrap}: it must be 0 (no interval) or more.")


def _check_pairs(candidates: Sequence[Any], references: Sequence[Sequence[Any]]) -> None:
    if len(candidates) != len(references):
        raise MetricError(
            f"{len(candidates)} captions came with references for {len(references)} photos: "
            "give one caption for each photo."
        )
    _check_references(references)


def _check_references(references: Sequence[Sequence[Any]]) -> None:
    if not references:
        raise MetricError("There is no photo to score: give at least one caption and reference.")
    for index, captions in enumerate(references):
        if isinstance(captions, str):
            raise MetricError(f"The references of photo {index} are one string: give a list.")
        if not captions:
            raise MetricError(f"Photo {index} has no reference caption: leave the photo out.")
