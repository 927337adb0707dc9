"""What people talk about: the phrases of a set of messages, and which of them a baseline set did not say as often."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nlp.duplicates import group, shingles
from nlp.normalize import normalize
from nlp.phrases import Phrases, find
from nlp.terms import tokens

Trend: TypeAlias = Literal["new", "rising", "steady", "falling"]

SURE = 1.645
"""A z-score that chance alone passes once in twenty times."""

_PRIOR = 0.15
_SAME = 0.5
_CANDIDATES = 400
_READ = 200
_SAMPLE = 30
_BUCKETS = 1024
_WORD = re.compile(r"[^\W_]+")
_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Topic:
    """A phrase as most people write it. Counts are of groups of near-duplicates, so a chain message counts once.

    `z` says by how many standard errors the phrase is likelier here than in the baseline; `trend` is "new" or "rising"
    from SURE on (new: the baseline never says it), "falling" below -SURE, else "steady". `members` are the places of
    the texts that say it, one a group; `examples` those of a few typical ones, the most typical first.
    """

    phrase: str
    count: int
    baseline_count: int
    z: float
    trend: Trend
    members: tuple[int, ...]
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics, and what their counts are parts of.

    `groups` has the group number of each text, then of each baseline text; equal numbers are near-duplicates.
    """

    found: tuple[Topic, ...]
    groups: tuple[int, ...]
    group_count: int
    baseline_group_count: int


def topics(
    texts: Sequence[str],
    baseline: Sequence[str] = (),
    *,
    groups: Sequence[int] | None = None,
    limit: int = 20,
    least: int = 3,
    examples: int = 3,
) -> Topics:
    """Return the topics of `texts`, compared with the texts in `baseline`: the weeks before, or other people.

    A phrase is one to three words of one clause that neither begins nor ends with a stop word; spellings of one word
    (nlp/terms.py) are one. It is a topic if at least `least` groups say it. Phrases that the same messages say are one
    topic, named by the longest. Up to half of the `limit` topics are new or rising, the surest first; the others are
    those of which most is said. `groups` are the numbers that nlp.duplicates.group gives the texts followed by the
    baseline, where they are known already. Without a baseline every topic is steady. Time grows with the number of
    words: some ten seconds for 100,000 messages. Raises ValueError if `groups` has another length.
    """
    everything = [*texts, *baseline]
    numbers = tuple(group(everything) if groups is None else groups)
    if len(numbers) != len(everything):
        raise ValueError(f"{len(everything)} texts have {len(numbers)} group numbers")
    here = _firsts(numbers, range(len(texts)))
    there = _firsts(numbers, range(len(texts), len(everything)))
    documents = [tokens(everything[place]) for place in (*here, *there)]
    phrases = find(documents, least)
    counts, baseline_counts = _counts(phrases, len(here))
    z = log_odds(counts, baseline_counts, len(here), len(there))
    read = _Reader(texts, here, documents, phrases)
    found = [
        Topic(
            phrase=read.phrase(number),
            count=int(counts[number]),
            baseline_count=int(baseline_counts[number]),
            z=round(float(z[number]), 2),
            trend=_trend(float(z[number]), int(baseline_counts[number])),
            members=tuple(here[document] for document in read.said_by(number)),
            examples=read.examples(number, examples),
        )
        for number in _chosen(phrases, counts, z, len(here), limit, least)
    ]
    return Topics(tuple(found), numbers, len(here), len(there))


def log_odds(counts: NDArray[np.int64], baseline_counts: NDArray[np.int64], total: int, baseline_total: int) -> _Floats:
    """Return the z-scores of phrases said by `counts` of `total` and `baseline_counts` of `baseline_total` groups.

    The log-odds ratio with an informative Dirichlet prior, divided by its standard error: Monroe, Colaresi and Quinn,
    "Fightin' Words", Political Analysis 16 (2008), equations 16 to 22, of the event that a group says the phrase. The
    prior is what all groups together say, and weighs as much as 15 % of them, whatever their number. All are 0 without
    a baseline.
    """
    if not baseline_total:
        return np.zeros(len(counts))
    both, groups = counts + baseline_counts, total + baseline_total
    weight = _PRIOR * groups
    prior = weight * (both + 0.5) / (groups + 1)
    odds = np.log((counts + prior) / (total + weight - counts - prior))
    baseline_odds = np.log((baseline_counts + prior) / (baseline_total + weight - baseline_counts - prior))
    error = np.sqrt(1 / (counts + prior) + 1 / (baseline_counts + prior))
    return np.asarray((odds - baseline_odds) / error, dtype=np.float64)


def _trend(z: float, baseline_count: int) -> Trend:
    if z >= SURE:
        return "rising" if baseline_count else "new"
    return "falling" if z <= -SURE else "steady"


def _firsts(numbers: Sequence[int], places: Iterable[int]) -> list[int]:
    """The first place of each group."""
    found: dict[int, int] = {}
    for place in places:
        found.setdefault(numbers[place], place)
    return list(found.values())


def _counts(phrases: Phrases, total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many documents say each phrase: of the first `total`, and of the rest."""
    is_here = np.append(0, np.cumsum(phrases.documents < total))
    counts = np.diff(is_here[phrases.starts])
    return counts, np.diff(phrases.starts) - counts


def _chosen(phrases: Phrases, counts: NDArray[np.int64], z: _Floats, total: int, limit: int, least: int) -> list[int]:
    """The phrases that name the topics: the surest new or rising ones, then those of which most is said."""
    sizes = (phrases.words > 0).sum(axis=1)
    prominence = counts * (1 + sizes) / 2  # a phrase of several words says more of a subject than one of them
    enough = np.flatnonzero(counts >= max(least, 1))
    rising = enough[z[enough] >= SURE]
    by_z = rising[np.argsort(-z[rising], kind="stable")][:_CANDIDATES]
    by_prominence = enough[np.argsort(-prominence[enough], kind="stable")][:_CANDIDATES]
    names: list[int] = []
    anchors: list[frozenset[int]] = []
    for candidates, most in ((by_z, limit // 2), (by_prominence, limit)):
        for number in candidates.tolist():
            said_by = phrases.said_by(number)
            documents = frozenset(said_by[said_by < total].tolist())
            same = next((n for n, other in enumerate(anchors) if _is_same(documents, other)), None)
            if same is not None:
                names[same] = max(names[same], number, key=lambda n: (sizes[n], counts[n]))
            elif len(names) < most:
                names.append(number)
                anchors.append(documents)
    return sorted(names, key=lambda n: (-z[n], 0) if z[n] >= SURE else (0, -counts[n]))


def _is_same(one: frozenset[int], other: frozenset[int]) -> bool:
    """Whether two phrases are mostly said by the same documents (Jaccard)."""
    if min(len(one), len(other)) < _SAME * max(len(one), len(other)):
        return False
    shared = len(one & other)
    return shared >= _SAME * (len(one) + len(other) - shared)


@dataclass
class _Reader:
    """Goes back from phrases to the texts: how people write them, and who says them typically."""

    texts: Sequence[str]
    here: Sequence[int]
    tokens: Sequence[Sequence[str]]
    phrases: Phrases

    def __post_init__(self) -> None:
        self._stems: dict[str, str] = {}

    def said_by(self, number: int) -> list[int]:
        """The documents of the set, not of the baseline, that say a phrase."""
        documents = self.phrases.said_by(number)
        found: list[int] = documents[documents < len(self.here)].tolist()
        return found

    def phrase(self, number: int) -> str:
        """As most people write it; in small letters unless most do not."""
        wanted = self.phrases.stems(number)
        written = Counter(
            spelling
            for document in self.said_by(number)[:_SAMPLE]
            for spelling in self._spellings(self.texts[self.here[document]], wanted)
        )
        if not written:
            return " ".join(wanted)
        most, count = written.most_common(1)[0]
        return most.lower() if 2 * written[most.lower()] >= count else most

    def _spellings(self, text: str, wanted: tuple[str, ...]) -> Iterator[str]:
        words = list(_WORD.finditer(text))
        stems = [self._stem(word[0]) for word in words]
        for start in range(len(words) - len(wanted) + 1):
            if tuple(stems[start : start + len(wanted)]) == wanted:
                yield " ".join(text[words[start].start() : words[start + len(wanted) - 1].end()].split())

    def _stem(self, word: str) -> str:
        if word not in self._stems:
            normal = normalize(word)
            self._stems[word] = self.phrases.stem_of.get(normal, normal)
        return self._stems[word]

    def examples(self, number: int, count: int) -> tuple[int, ...]:
        """The texts nearest to the middle of all that say a phrase, by the cosine of their n-grams; not the longest
        quarter, which has a bit of everything."""
        documents = self.said_by(number)[:_READ]
        forms = [" ".join(self.tokens[document]) for document in documents]
        vectors = _vectors(forms)
        nearness = vectors @ vectors.mean(axis=0)
        lengths = np.array([len(form) for form in forms])
        nearness[lengths > np.quantile(lengths, 0.75)] = -1
        return tuple(self.here[documents[place]] for place in np.argsort(-nearness, kind="stable")[:count])


def _vectors(forms: Sequence[str]) -> _Floats:
    """One row of unit length a form: its shingles, hashed into buckets."""
    hashes, counts = shingles(forms)
    rows = np.repeat(np.arange(len(forms)), counts)
    cells = rows * _BUCKETS + (hashes % _BUCKETS).astype(np.int64)
    table = np.log1p(np.bincount(cells, minlength=len(forms) * _BUCKETS).reshape(len(forms), _BUCKETS))
    return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True), dtype=np.float64)
