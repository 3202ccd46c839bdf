"""The words behind a finding that is marked absent or uncertain, after the idea of NegEx (Chapman et al., 2001).

    No fever was noted, but the cough persisted.
    ^^ cue  ^^^^^ within scope        ^^^^^ beyond "but", out of scope

A cue stands before or after the entity, in its sentence, with no word between them that ends its scope. The search runs
on the untouched text; the cue's offsets are the text's own.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from fedmedlora.corpus.document import Span
from fedmedlora.corpus.recipes.lexicons import phrases

CueKind: TypeAlias = Literal["negation", "uncertain"]


class _Cues(NamedTuple):
    """before: cues that stand before the entity; after: those that follow it."""

    before: re.Pattern[str]
    after: re.Pattern[str]


_CUES: dict[CueKind, _Cues] = {
    "negation": _Cues(
        before=phrases(
            r"""
            no, not, non, none, nor, neither, never, without, cannot, \w+n['’]t, den(?:y|ies|ied|ying),
            negative (?:for|of), (?:absence|absent|lack|lacking|devoid|free) (?:of|from), lack(?:ed|s|ing), absent,
            free, rul(?:e|ed|ing) out, exclud(?:e|ed|es|ing), exclusion of,
            (?:complete |total |full )?(?:resolution|regression|disappearance|remission|cessation|clearance) of,
            (?:discontinuation|withdrawal|termination|removal|avoidance|refusal|interruption) of,
            (?:stop|discontinu|ceas|withh|refus|abandon|avoid|omit|interrupt|suspend|withdr)\w*,
            declin(?:ed|es|ing), prevent(?:ion of|ed), fail(?:s|ed|ing|ure) to, unable to, inability to,
            rather than, instead of, except, unremarkable for, resolved, unlikely
            """
        ),
        after=phrases(
            r"""
            not, no longer, never, absent, negative, free, den(?:ied|ies), excluded, ruled out, resolv(?:ed|es|ing),
            resolution, disappear(?:ed|s|ing|ance)?, subsid(?:ed|es|ing), vanished, ceased, cleared, discontinued,
            stopped, interrupted, withdrawn, withheld, suspended, terminated, removed, declined, refused,
            cancell?ed, abandoned, (?:was|were) unremarkable, unlikely, none, without, failed
            """
        ),
    ),
    "uncertain": _Cues(
        before=phrases(
            r"""
            possib(?:le|ly|ility), (?:most )?probabl[ey], (?:most )?likely, unlikely, potential(?:ly)?, perhaps,
            suspect(?:s|ed|ing)?, suspici(?:on|ous), suggest(?:s|ed|ing|ive)?, may, might, could,
            presum(?:ed|ably|ptive), concern(?:s|ed|ing)?, consider(?:ed|ation of|ing), differential diagnos[ie]s,
            rul(?:e|ed|ing) out, role out, to exclude, questionable, equivocal, indeterminate, appear(?:s|ed)?,
            seem(?:s|ed)?, impression(?: of)?, thought to be, felt to be, believed to be, supposed,
            (?:compatible|consistent) with, indicat(?:ed|ive of|es|ing), whether, if, versus, vs\.?,
            predict(?:ed|ing|s), hypothesi[sz]ed, provisional, risk (?:of|for), unclear,
            (?:evaluat|assess|investigat)\w+ for, screen(?:ing|ed)? for, evidence of
            """
        ),
        after=phrases(
            r"""
            suspected, considered, presumed, possible, probable, likely, unlikely,
            (?:could|can) ?not be (?:excluded|ruled out), questionable, uncertain, unclear, versus, vs\.?, supposed,
            inconclusive, not (?:also )?conclusive, differential diagnos[ie]s
            """
        ),
    ),
}
_SCOPE_END = re.compile(
    r";|\b(?:but|however|although|though|whereas|while|except|nevertheless|yet|which)\b|(?<=\s)because\b", re.IGNORECASE
)


def find_cue(text: str, entity: Span, sentence: Span, kind: CueKind) -> Span | None:
    """The nearest cue of that kind in whose scope the entity stands.

    entity, sentence: offsets into `text`. Of two cues equally near, the one before the entity wins. A cue inside the
    entity ("absence of reflexes") counts when there is none outside. None when the sentence has no such cue.
    """
    cues = _CUES[kind]
    found: list[tuple[int, int, Span]] = []
    for match in cues.before.finditer(text, sentence[0], entity[0]):
        if not _SCOPE_END.search(text, match.end(), entity[0]):
            found.append((entity[0] - match.end(), 0, match.span()))
    for match in cues.after.finditer(text, entity[1], max(entity[1], sentence[1])):
        if not _SCOPE_END.search(text, entity[1], match.start()):
            found.append((match.start() - entity[1], 1, match.span()))
    if found:
        return min(found)[2]
    inside = cues.before.search(text, *entity)
    return inside.span() if inside else None
