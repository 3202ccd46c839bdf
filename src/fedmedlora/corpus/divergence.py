"""How differently sites' notes are labelled and worded: Jensen–Shannon divergence of their distributions, in bits.

Documents of several sites enter, a number between every two sites leaves; no text does. 0 is the same distribution, 1
is nothing in common. Reference: Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37
(1991).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from fedmedlora.corpus.document import Document, Json

_WORD = re.compile(r"\w+")


def jensen_shannon(one: Mapping[str, int], other: Mapping[str, int]) -> float | None:
    """Divergence of two distributions given as counts, in bits, from 0 to 1; None when one of them counts nothing.

    Half of {a: 1, b: 1} lies on a, all of {a: 1} does. The mean of the two has 3/4 on a and 1/4 on b, so the
    divergence is ½ · (½·log₂(½ ÷ ¾) + ½·log₂(½ ÷ ¼)) + ½ · log₂(1 ÷ ¾) = 0.311.
    """
    first, second = sum(one.values()), sum(other.values())
    if not first or not second:
        return None
    total = 0.0
    for name in sorted(one.keys() | other.keys()):
        p, q = one.get(name, 0) / first, other.get(name, 0) / second
        total += sum(share / 2 * math.log2(2 * share / (p + q)) for share in (p, q) if share)
    return min(1.0, max(0.0, total))


def label_counts(documents: Sequence[Document], types: Collection[str]) -> Counter[str]:
    """How many entities of each of these types there are."""
    return Counter(entity.type for note in documents for entity in note.entities if entity.type in types)


def word_counts(documents: Sequence[Document]) -> Counter[str]:
    """How often each word occurs, in lower case; a word is a run of letters, digits and '_'."""
    return Counter(word for note in documents for word in _WORD.findall(note.text.lower()))


def site_divergences(
    sites: Mapping[str, Sequence[Document]], annotated: Mapping[str, Collection[str]], entity_types: Sequence[str]
) -> dict[str, Json]:
    """`{"labels": {SITE: {SITE: bits}}, "vocabulary": …}` between every two sites; null where nothing can be compared.

    annotated: the labels of each site. Label distributions are over the entity types that both sites annotate.
    """
    words = {name: word_counts(documents) for name, documents in sites.items()}
    labels = {name: label_counts(documents, entity_types) for name, documents in sites.items()}

    def of_labels(one: str, other: str) -> float | None:
        shared = [kind for kind in entity_types if kind in annotated[one] and kind in annotated[other]]
        return jensen_shannon(*({kind: labels[name][kind] for kind in shared} for name in (one, other)))

    return {
        "labels": _pairs(sites, of_labels),
        "vocabulary": _pairs(sites, lambda one, other: jensen_shannon(words[one], words[other])),
    }


def _pairs(names: Collection[str], value: Callable[[str, str], float | None]) -> dict[str, Json]:
    return {one: {other: value(one, other) for other in names if other != one} for one in names}
