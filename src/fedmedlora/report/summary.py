"""What the numbers say, in sentences: where the federated arms stand on every test site, and what travelled.

A difference is within the noise when the paired test finds it so. Where the records allow no test (those of earlier
versions), two 95 % intervals that overlap are called the same, which errs on the side of caution. With several seeds an
arm's interval reaches from the lowest low to the highest high of its seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.report.elements import Markup, bullets, element, paragraph
from fedmedlora.report.numbers import Spread, decimal, listed, several, size
from fedmedlora.report.paired import COMPARED, PairedTest, Verdict, found_verdict
from fedmedlora.report.progress import CENTRALISED, EXTERNAL, FEDERATED, SINGLE_SITE, arm_label, tested_sites
from fedmedlora.report.records import ArmCost, Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import Task

_FEWEST_DOCUMENTS = 2


class Estimate(NamedTuple):
    """Mean strict F1 over seeds, and an interval around it; low and high are None when none was computed."""

    mean: float
    low: float | None
    high: float | None


def estimate(scores: Sequence[Score], task: Task) -> Estimate | None:
    """One arm on one site; None when there is no value. One document gives no interval: its width would be 0."""
    mean = Spread.of(score.f1(task, "strict") for score in scores).mean
    if mean is None:
        return None
    lows, highs = [], []
    for score in scores:
        interval = score.intervals.get((task, "strict"))
        if interval is None or interval.documents < _FEWEST_DOCUMENTS or interval.low is None or interval.high is None:
            return Estimate(mean, None, None)
        lows.append(interval.low)
        highs.append(interval.high)
    return Estimate(mean, min(lows), max(highs))


def judge(one: Estimate, other: Estimate) -> Verdict:
    """Where `one` stands to `other`.

    0.50 [0.45, 0.55] is above 0.40 [0.35, 0.44], and within the noise of 0.42 [0.38, 0.46].
    """
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return "not judged"
    if one.low <= other.high and other.low <= one.high:
        return "within the noise"
    return "above" if one.mean > other.mean else "below"


def summary_section(run: Run, setting: str, tests: Sequence[PairedTest]) -> list[Markup]:
    """Sentences for every task, then what was exchanged."""
    parts: list[Markup] = []
    for task in run.tasks:
        found = _estimates(run, setting, task)
        if not found:
            parts.append(paragraph(f"— {TASK_NAMES[task]}: no strict F1 is defined yet, so nothing is compared."))
            continue
        verdicts = _verdicts(setting, found, [test for test in tests if test.task == task])
        overall = [_overall(verdicts, one, other) for one, other in COMPARED]
        sentences = [_site_sentence(site, arms, verdicts) for site, arms in found.items()]
        parts.append(element("h4", f"{TASK_NAMES[task]}, strict F1"))
        parts.append(bullets([*sentences, *filter(None, overall)]))
    parts.append(paragraph(_NOISE) if run.scores else paragraph("— No score is recorded, so there is nothing to say."))
    sentences = [sentence for arm in FEDERATED if (sentence := _traffic(run, setting, arm))]
    return [*parts, bullets(sentences)] if sentences else parts


_NOISE = (
    "“Within the noise”: a paired test on the same documents, corrected for the number of tests, finds no difference "
    "(or, where records are too old for it, the 95 % intervals overlap). Single-site is each site's own model; "
    "on external sites it is the mean over the sites' models, which no test judges."
)


def _verdicts(
    setting: str, found: dict[str, dict[str, Estimate]], tests: Sequence[PairedTest]
) -> dict[tuple[str, str, str], Verdict]:
    """(site, arm, arm that it is held against) → what the test says, or without one the intervals."""
    tested = {(test.site, test.arm, test.against): found_verdict(test) for test in tests}
    return {
        (site, one, other): tested.get((site, one, other)) or _judged(setting, arms, one, other)
        for site, arms in found.items()
        for one, other in COMPARED
        if one in arms and other in arms
    }


def _estimates(run: Run, setting: str, task: Task) -> dict[str, dict[str, Estimate]]:
    """Site → arm → estimate, where there is one."""
    found: dict[str, dict[str, Estimate]] = {}
    for site in tested_sites(run, setting):
        for arm in ("zero-shot", *SINGLE_SITE, *CENTRALISED, *FEDERATED, "api"):
            value = estimate([one for one in own_scores(run, setting, arm) if one.test_site == site], task)
            if value is not None:
                found.setdefault(site, {})[arm] = value
    return found


def _judged(setting: str, arms: dict[str, Estimate], one: str, other: str) -> Verdict:
    """By the intervals. Several sites' models on one external site have none together."""
    several_models = setting == EXTERNAL and (one in SINGLE_SITE or other in SINGLE_SITE)
    return "not judged" if several_models else judge(arms[one], arms[other])


def _site_sentence(site: str, arms: dict[str, Estimate], verdicts: dict[tuple[str, str, str], Verdict]) -> str:
    values = listed(f"{arm_label(arm)} {decimal(value.mean)}" for arm, value in arms.items())
    compared = [
        f"{arm_label(one)} is {_stands(arms[one].mean - arms[other].mean, verdict, arm_label(other))}"
        for one, other in COMPARED
        if (verdict := verdicts.get((site, one, other))) is not None
    ]
    return f"{site}: {values}. {'; '.join(compared)}." if compared else f"{site}: {values}."


def _stands(difference: float, found: Verdict, label: str) -> str:
    """Where one stands to the arm of that label: "0.031 above Single-site (within the noise)"."""
    where = "level with" if difference == 0 else f"{decimal(abs(difference))} {'above' if difference > 0 else 'below'}"
    if found == "not judged":
        return f"{where} {label} (not judged)"
    return f"{where} {label} (within the noise)" if found == "within the noise" else f"{where} {label}"


def _overall(verdicts: dict[tuple[str, str, str], Verdict], one: str, other: str) -> str:
    """On how many sites one arm is above, below or within the noise of another."""
    counted = Counter(found for (_, arm, against), found in verdicts.items() if (arm, against) == (one, other))
    if not counted:
        return ""
    order: tuple[Verdict, ...] = ("above", "below", "within the noise", "not judged")
    counts = listed(f"{found} on {counted[found]}" for found in order if counted[found])
    total = several(sum(counted.values()), "test site")
    return f"Over {total}, {arm_label(one)} against {arm_label(other)}: {counts}."


def _traffic(run: Run, setting: str, arm: str) -> str:
    costs = [cost for cost in run.costs if (cost.setting, cost.arm) == (setting, arm) and exchanged(cost) is not None]
    if not costs:
        return ""
    mean = Spread.of(exchanged(cost) for cost in costs).mean
    full = Spread.of(cost.full_model_bytes for cost in costs).mean
    seeds = " a seed, on average" if len(costs) > 1 else ""
    text = f"{arm_label(arm)} exchanged {size(mean)}{seeds}"
    if mean is None or not full:
        return f"{text}."
    return f"{text}; the whole base model at the same messages would have been {size(full)} ({saving(mean, full)})."


def exchanged(cost: ArmCost) -> int | None:
    """Bytes in both directions; None when either is not known."""
    if cost.bytes_sent is None or cost.bytes_received is None:
        return None
    return cost.bytes_sent + cost.bytes_received


def saving(actual: float, full: float) -> str:
    """`saving(15, 1000)` is "98.5 % less"; more is called more."""
    share = 100 * (1 - actual / full)
    return f"{share:.1f} % less" if share >= 0 else f"{-share:.1f} % more"
