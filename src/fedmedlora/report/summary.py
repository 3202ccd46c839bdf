"""What the numbers say, in sentences for whoever decides whether a site should join.

F1 is said in points, of 100. A site gains or loses where the paired test, corrected for how many there are, finds a
difference; probably, where interval and p before correction do; else it "gains nothing beyond the noise".
"""

from __future__ import annotations

from collections.abc import Sequence

from fedmedlora.report.elements import Markup, bullets, element, paragraph, terms
from fedmedlora.report.estimates import PROBABLE, UNCONFIRMED, Verdict
from fedmedlora.report.families import PLAIN, alone, encoder, together
from fedmedlora.report.findings import Findings
from fedmedlora.report.gains import Gain, macro_gain
from fedmedlora.report.left_out import left_out_sentences
from fedmedlora.report.low_resource import low_resource_sentences
from fedmedlora.report.numbers import Spread, gained, listed, points, saving, several, signed, size, untested
from fedmedlora.report.paired import p_value
from fedmedlora.report.progress import EXTERNAL, FEDERATED, IN_DOMAIN, arm_label
from fedmedlora.report.records import Run
from fedmedlora.report.scaling import scaling_sentences
from fedmedlora.report.uneven import uneven_sentences
from fedmedlora.scoring import Task

_KINDS: dict[Task, str] = {"ner": "entity", "re": "modifier"}
_TITLES: dict[Task, str] = {"ner": "Entities (NER)", "re": "Modifiers of given entities (RE)"}
_PLUS = (("fedmedlora-plus", "fedmedlora"), ("bert-lora-fedmedlora-plus", "bert-lora-fedmedlora"))


def summary_section(run: Run, findings: Findings) -> list[Markup]:
    """For each task what joining gives, how far from centralised training it is, and the other settings; then bytes."""
    if not run.scores:
        return [paragraph("— No score is recorded, so there is nothing to say.")]
    parts: list[Markup] = []
    for task in run.tasks:
        topics = task_sentences(run, findings, task)
        parts.append(element("h4", f"{_TITLES[task]}, strict F1"))
        none = "— No strict F1 of two arms that are compared is defined yet, so nothing is said."
        parts.append(terms((name, bullets(said)) for name, said in topics.items()) if topics else paragraph(none))
    traffic = [sentence for arm in FEDERATED if (sentence := _traffic(run, arm))]
    if traffic:
        parts += [element("h4", "What travelled"), bullets(traffic)]
    return [*parts, paragraph(_NOISE)]


_NOISE = (
    "Points are F1 times 100; strict F1 counts what has the right type and the same boundaries. In brackets: the 95 % "
    "interval of the difference, both arms on the same resampled documents, averaged over seeds. p: paired "
    "permutation test, corrected after Holm for all tests of its setting. What “probably”, “within the noise” and “too "
    "few notes to tell” stand for is said under Paired tests. Averages over sites are not tested: what is said of them "
    "is what their interval says. Where records are too old for both, two 95 % intervals that overlap are called noise."
)
_OUTCOMES: dict[Verdict, str] = {
    "above": "better",
    "below": "worse",
    "probably above": "probably better",
    "probably below": "probably worse",
    "too few notes to tell": "too few notes to tell",
}


def task_sentences(run: Run, findings: Findings, task: Task) -> dict[str, list[str]]:
    """Topic → sentences on one task, in the order of the page; a topic of which the run knows nothing is left out."""
    inside = [gain for gain in findings.gains.get(IN_DOMAIN, []) if gain.task == task]
    outside = [gain for gain in findings.gains.get(EXTERNAL, []) if gain.task == task]
    leading = _leading(inside)
    topics = {
        "Joining": [
            _joining(gain, arm == leading[0])
            for arm in leading
            for gain in inside
            if (gain.arm, gain.against) == (arm, alone(arm))
        ],
        "Against all notes in one place": [said for arm in leading for said in _gap(run, inside, task, arm)],
        "Weighting by validation": [said for pair in _PLUS for said in _plus(inside, *pair)],
        "Sites that nobody trained on": _external(outside),
        "A site that stays outside": left_out_sentences(findings.left_out, task),
        "A new site with few notes": low_resource_sentences(findings.few_notes, task),
        "Uneven annotation": uneven_sentences(findings.uneven, task),
        "More sites": scaling_sentences(findings.scaled, task),
    }
    return {topic: said for topic, said in topics.items() if said}


def _leading(gains: Sequence[Gain]) -> list[str]:
    """The federated arms that stand for the federation: the plainest of the base model's, then the encoders'."""
    seen = {gain.arm for gain in gains if gain.against in (alone(gain.arm), together(gain.arm))}
    base = [arm for arm in (*PLAIN, *FEDERATED) if arm in seen and not encoder(arm)][:1]
    return [*base, *(arm for arm in PLAIN if arm in seen and encoder(arm))]


def _joining(gain: Gain, leads: bool) -> str:
    """What the federation gives one site over its own model. leads: whether its arm stands for the federation alone."""
    amount = f"{gained(gain.difference, *gain.interval)} of strict {_KINDS[gain.task]} F1"
    values = f"{arm_label(gain.arm)} {points(gain.after)}, alone {points(gain.before)}{_p(gain)}"
    start = "" if leads else f"With {arm_label(gain.arm)}: "
    match gain.verdict:
        case "above":
            return f"{start}Joining the federation gave {gain.site} {amount} over training alone ({values})."
        case "below":
            return f"{start}{gain.site} loses by joining: {amount} against training alone ({values})."
        case "probably above":
            return f"{start}{gain.site} probably gains by joining: {amount} over training alone ({values})."
        case "probably below":
            return f"{start}{gain.site} probably loses by joining: {amount} against training alone ({values})."
        case "too few notes to tell":
            few = f"{gain.site} has too few test notes to tell what joining gives{_few(gain)}"
            return f"{start}{few}: {amount} against training alone ({values})."
        case "within the noise":
            said = f"{gain.site} gains nothing beyond the noise by joining"
            return f"{start}{said}: {amount} against training alone ({values})."
        case _:
            return f"{start}{gain.site} stands {amount} from training alone by joining, which is not judged ({values})."


def _few(gain: Gain) -> str:
    """On how many notes the test rests."""
    return f" (the two differ on {gain.held.of.differing} of {gain.documents})" if gain.held is not None else ""


def _p(gain: Gain) -> str:
    """The corrected p; where the words before it say "probably", that it does not confirm them."""
    if gain.held is None or gain.p_corrected is None:
        return ""
    p = f"p {p_value(gain.p_corrected)}"
    if gain.verdict not in PROBABLE:
        return f", {p}"
    return f"; not confirmed: {p} after correction for {several(gain.held.tests, 'test')}"


def _gap(run: Run, gains: Sequence[Gain], task: Task, arm: str) -> list[str]:
    """How far the federation is from centralised training: over all sites, and on each."""
    own = [gain for gain in gains if (gain.arm, gain.against) == (arm, together(arm))]
    if not own:
        return []
    sites = listed(f"{gain.site} {gained(gain.difference, *gain.interval)}{_aside(gain)}" for gain in own)
    total = macro_gain(run, IN_DOMAIN, task, arm, together(arm))
    if total is None:
        return [f"Against centralised training {arm_label(arm)} stands by site: {sites}."]
    amount = f"{gained(total.difference, total.low, total.high)}{untested(total.low, total.high)}"
    return [
        f"Against centralised training {arm_label(arm)} stands {amount} on the mean of {total.sites} sites"
        f"{_share(total.difference, total.before)}. By site: {sites}."
    ]


def _share(difference: float, of: float) -> str:
    return f", {signed(100 * difference / of, 1)} % of its {points(of)}" if of else ""


def _aside(gain: Gain) -> str:
    """What is to be said behind a difference that no test confirms, or that nothing judges."""
    return f" ({gain.verdict})" if gain.verdict in (*UNCONFIRMED, "not judged") else ""


def _plus(gains: Sequence[Gain], arm: str, plain: str) -> list[str]:
    """Whether weighting by validation is worth it."""
    own = [gain for gain in gains if (gain.arm, gain.against) == (arm, plain)]
    if not own:
        return []
    if all(gain.verdict == "not judged" for gain in own):
        verdict = "not judged"
    else:
        where = {outcome: [gain.site for gain in own if gain.verdict == outcome] for outcome in _OUTCOMES}
        said = [f"{_OUTCOMES[outcome]} on {listed(found)}" for outcome, found in where.items() if found]
        verdict = listed(said) if said else "no different beyond the noise on any site"
    sites = listed(f"{gain.site} {gained(gain.difference, *gain.interval)}" for gain in own)
    return [f"{arm_label(arm)} against {arm_label(plain)}: {verdict} ({sites})."]


def _external(gains: Sequence[Gain]) -> list[str]:
    """What a site that nobody trained on gets."""
    found = []
    for arm in _leading(gains):
        others = {"zero-shot": "the bare base", alone(arm): "the mean of the sites' own models"}
        others[together(arm)] = "centralised training"
        for site in dict.fromkeys(gain.site for gain in gains):
            own = [one for one in gains if (one.arm, one.site) == (arm, site) and one.against in others]
            if own:
                said = "; ".join(
                    f"{gained(one.difference, *one.interval)} against {others[one.against]}{_aside(one)}" for one in own
                )
                found.append(f"On {site} {arm_label(arm)} reaches {points(own[0].after)}: {said}.")
    return found


def _traffic(run: Run, arm: str) -> str:
    costs = [cost for cost in run.costs if (cost.setting, cost.arm) == (IN_DOMAIN, arm) and cost.exchanged is not None]
    if not costs:
        return ""
    mean = Spread.of(cost.exchanged for cost in costs).mean
    full = Spread.of(cost.full_model_bytes for cost in costs).mean
    seeds = " a seed, on average" if len(costs) > 1 else ""
    text = f"{arm_label(arm)} exchanged {size(mean)}{seeds}"
    if mean is None or not full:
        return f"{text}."
    return f"{text}; the whole base model at the same messages would have been {size(full)} ({saving(mean, full)})."
