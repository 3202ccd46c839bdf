"""When a predicted annotation agrees with a gold one. Sets of annotations in, numbers of agreeing pairs out.

Entities and relations follow one rule, because both are an `Annotation`: a label, an entity type and one or two
regions of text. Strict: everything is equal. Lenient: label and entity type are equal and every region overlaps its
counterpart, matched one to one so that as many pairs as possible form.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence, Set
from typing import NamedTuple, TypeAlias

from fedmedlora.corpus.document import Span

Region: TypeAlias = tuple[Span, ...]


class Annotation(NamedTuple):
    """What makes an annotation the one it is; two with equal fields are duplicates.

    label: the type it is scored under: the entity's, or the relation's.
    entity_type: the entity's type; for a relation, its head's.
    regions: the entity's spans; for a relation, the head's and then the tail's.
    """

    label: str
    entity_type: str
    regions: tuple[Region, ...]


def overlap(first: Region, second: Region) -> bool:
    """Whether two regions share at least one code point.

    `overlap(((0, 5),), ((4, 9),))` is true and `overlap(((0, 4),), ((4, 9),))` is false. The gap of a discontinuous
    region is not part of it: `overlap(((0, 2), (6, 8)), ((3, 5),))` is false.
    """
    return any(start < other_end and other_start < end for start, end in first for other_start, other_end in second)


def strict_matches(gold: Set[Annotation], predicted: Set[Annotation]) -> Counter[str]:
    """Label → number of predictions that equal a gold annotation in type and in all boundaries.

    Gold drug [0, 7] against predicted drug [0, 7] gives 1, against drug [0, 6] or test [0, 7] gives nothing.
    """
    return Counter(annotation.label for annotation in gold & predicted)


def lenient_matches(gold: Set[Annotation], predicted: Set[Annotation]) -> Counter[str]:
    """Label → size of a maximum one-to-one matching of overlapping annotations of the same types.

    Gold drugs [0, 10] and [0, 3] against predicted drugs [0, 10] and [7, 10] give 2: [0, 10] with [7, 10] and [0, 3]
    with [0, 10]. Taking the exact pair first would leave 1. Two predictions inside one gold entity give 1.
    """
    matches: Counter[str] = Counter()
    candidates = _by_types(predicted)
    for types, golds in _by_types(gold).items():
        if types in candidates:
            size = maximum_matching(_neighbours(golds, candidates[types]))
            if size:
                matches[types[0]] += size
    return matches


def maximum_matching(neighbours: Sequence[Sequence[int]]) -> int:
    """Size of a maximum matching of a bipartite graph, by augmenting paths (Berge's theorem).

    `maximum_matching([[0, 1], [0]])` is 2: left 0 takes right 1, left 1 takes right 0.
    neighbours: for every left vertex, the right vertices that it may be paired with.
    """
    return len(matched_pairs(neighbours))


def matched_pairs(neighbours: Sequence[Sequence[int]]) -> dict[int, int]:
    """A maximum matching itself, left → right: `matched_pairs([[0, 1], [0]])` is {0: 1, 1: 0}.

    Left vertices come in order and take the first free neighbour of their list; one that finds none free moves others
    on, if that makes room. A left vertex that has been paired stays paired.
    """
    owner: dict[int, int] = {}
    partner: dict[int, int] = {}
    for left in range(len(neighbours)):
        _augment(left, neighbours, owner, partner)
    return partner


def _augment(root: int, neighbours: Sequence[Sequence[int]], owner: dict[int, int], partner: dict[int, int]) -> None:
    """Pair `root` by the shortest augmenting path, moving others; leave all as it was when there is none."""
    reached_from: dict[int, int] = {}
    queue = deque([root])
    while queue:
        left = queue.popleft()
        for right in neighbours[left]:
            if right in reached_from:
                continue
            reached_from[right] = left
            if right in owner:
                queue.append(owner[right])
                continue
            step: int | None = right
            while step is not None:
                taker = reached_from[step]
                released = partner.get(taker)
                owner[step], partner[taker] = taker, step
                step = released
            return


def _by_types(annotations: Set[Annotation]) -> dict[tuple[str, str], list[Annotation]]:
    groups: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        groups[annotation.label, annotation.entity_type].append(annotation)
    return groups


def _neighbours(golds: list[Annotation], predictions: list[Annotation]) -> list[list[int]]:
    """For every gold annotation the indices of the predictions whose regions all overlap its own.

    A sweep from left to right over the first regions, so that a long note does not cost gold times predicted.
    """
    golds = sorted(golds, key=_start)
    predictions = sorted(predictions, key=_start)
    found: list[list[int]] = []
    active: list[int] = []
    following = 0
    for gold in golds:
        start, end = _start(gold), gold.regions[0][-1][1]
        while following < len(predictions) and _start(predictions[following]) < end:
            active.append(following)
            following += 1
        active = [index for index in active if predictions[index].regions[0][-1][1] > start]
        found.append([index for index in active if _all_overlap(gold, predictions[index])])
    return found


def _start(annotation: Annotation) -> int:
    return annotation.regions[0][0][0]


def _all_overlap(gold: Annotation, predicted: Annotation) -> bool:
    return all(overlap(first, second) for first, second in zip(gold.regions, predicted.regions, strict=True))
