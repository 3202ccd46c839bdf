"""What the study planned, what is there, and why a value is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from fedmedlora.config import arms
from fedmedlora.report.numbers import several
from fedmedlora.report.records import Plan, Round, Run

ARMS = {
    "zero-shot": "Zero-shot",
    "single-site": "Single-site",
    "centralised": "Centralised",
    "fedmedlora": "Fed-MedLoRA",
    "fedmedlora-plus": "Fed-MedLoRA+",
    "fedprox": "FedProx",
    "fedsa-lora": "FedSA-LoRA",
    "ffa-lora": "FFA-LoRA",
    "api": "API model",
    "bert-single-site": "BERT single-site",
    "bert-centralised": "BERT centralised",
    "bert-fedavg": "BERT FedAvg",
    "bert-lora-single-site": "BERT+LoRA single-site",
    "bert-lora-centralised": "BERT+LoRA centralised",
    "bert-lora-fedmedlora": "BERT+LoRA Fed-MedLoRA",
    "bert-lora-fedmedlora-plus": "BERT+LoRA Fed-MedLoRA+",
}
PAPER_ARMS = tuple(ARMS)[:5]
IN_DOMAIN, EXTERNAL, LEAVE_ONE_OUT = "in-domain", "external", "leave-one-out"
LOW_RESOURCE, UNEVEN, SCALING = "low-resource", "uneven", "scaling"
VARIED = (LOW_RESOURCE, UNEVEN, SCALING)
"""Settings in which one arm has many models on one site; each has tables of its own."""
WITHOUT = "without-"
WHOLE = ("all", "none")
UNTRAINED = {
    "single-site": "Bare base",
    "bert-single-site": "Untrained BERT",
    "bert-lora-single-site": "Untrained BERT+LoRA",
}
"""What the models of few notes began with that count as these arms'."""
PERSONAL = ("fedsa-lora",)
SEEDLESS = ("zero-shot", "api")
SINGLE_SITE, CENTRALISED, FEDERATED = arms.SINGLE_SITE, arms.CENTRALISED, arms.FEDERATED


def arm_label(arm: str) -> str:
    """The arm's name for readers; an arm that this version does not know keeps its own."""
    return ARMS.get(arm, arm)


def is_whole(trained_on: str) -> bool:
    """Whether a model belongs to no setting that trains anew: neither left a site out nor varies its notes."""
    return not (trained_on.startswith(WITHOUT) or "@" in trained_on or "+" in trained_on)


def model_label(arm: str, trained_on: str) -> str:
    """The arm, and for one of several models of it which: a single site's, the one without a site, one of a setting.

    "c+10" of few notes is "Bare base, 10 notes of c" in the arm single-site, which begins with the bare base there.
    """
    site, plus, notes = trained_on.rpartition("+")
    if plus and notes.isdecimal():
        start = UNTRAINED.get(arm, arm_label(arm))
        return f"{start}, {several(int(notes), 'note')} of {site}"
    return arm_label(arm) if trained_on in WHOLE else f"{arm_label(arm)}: {trained_on}"


def arms_of(run: Run) -> tuple[str, ...]:
    """The arms that were planned or recorded, in their usual order, then those that this version does not know."""
    planned = run.plan.arms if run.plan else ()
    seen = {*planned, *(score.arm for score in run.scores), *(cost.arm for cost in run.costs)}
    seen |= {one.arm for one in run.rounds}
    return (*(arm for arm in ARMS if arm in seen), *sorted(seen - ARMS.keys()))


def arms_run(run: Run) -> tuple[str, ...]:
    """The arms of which at least one record is there."""
    seen = {score.arm for score in run.scores} | {cost.arm for cost in run.costs} | {one.arm for one in run.rounds}
    return tuple(arm for arm in arms_of(run) if arm in seen)


def arms_in(run: Run, setting: str) -> tuple[str, ...]:
    """The arms that are to have a model for a setting, or have a score in it."""
    scored = {score.arm for score in run.scores if score.setting == setting}
    planned = arms_of(run) if run.plan is None else run.plan.arms
    return tuple(arm for arm in arms_of(run) if arm in scored or (arm in planned and runs_in(setting, arm)))


def sites_of(run: Run) -> tuple[str, ...]:
    """Names of the sites in the study's order, then any other that was tested on."""
    names = dict.fromkeys(site.name for site in run.info.sites)
    names |= dict.fromkeys(run.plan.sites if run.plan else ())
    names |= dict.fromkeys(sorted({score.test_site for score in run.scores}))
    return tuple(names)


def tested_sites(run: Run, setting: str) -> tuple[str, ...]:
    """Names of the sites that belong to a setting: external ones, new ones, or the others."""
    home = {
        site.name: EXTERNAL if site.external else LOW_RESOURCE for site in run.info.sites if site.external or site.new
    }
    own = setting if setting in (EXTERNAL, LOW_RESOURCE) else None
    return tuple(site for site in sites_of(run) if home.get(site) == own)


def runs_in(setting: str, arm: str) -> bool:
    """Whether an arm has a model for a setting. A site can be left out only where several train one model for all."""
    if setting == LEAVE_ONE_OUT:
        return arm not in (*PERSONAL, *SEEDLESS, *SINGLE_SITE)
    return setting != EXTERNAL or arm not in PERSONAL


def settings_of(run: Run) -> tuple[str, ...]:
    """Settings in the study's order that have a site, then others that were recorded; in-domain when there is none."""
    planned = dict.fromkeys(one for one in (run.plan.settings if run.plan else ()) if tested_sites(run, one))
    return tuple(planned | dict.fromkeys(sorted({score.setting for score in run.scores}))) or ("in-domain",)


def table_settings(run: Run) -> tuple[str, ...]:
    """Those of the settings in which an arm has one score a test site, or one for each site's model."""
    return tuple(setting for setting in settings_of(run) if setting not in VARIED)


def whole_rounds(run: Run) -> list[Round]:
    """Rounds of the models that belong to no setting that trains anew."""
    return [one for one in run.rounds if is_whole(one.trained_on)]


def seeds_of(run: Run) -> tuple[int, ...]:
    """Seeds in the study's order."""
    return (run.plan.seeds if run.plan else ()) or run.info.seeds


def documents_in(run: Run, site: str, part: str) -> int | None:
    """Documents of a site's train, dev or test portion; None when run.json does not say."""
    for one in run.info.sites:
        if one.name == site and part in one.parts:
            return one.parts[part].documents
    return None


def why_missing(run: Run, arm: str, test_site: str, setting: str = "in-domain") -> str:
    """Why there is no score of this arm on this site in this setting."""
    if run.plan is not None and arm not in run.plan.arms:
        return "not in this study"
    if not runs_in(setting, arm):
        return "not in this setting"
    if documents_in(run, test_site, "test") == 0:
        return "no test documents"
    return "not run yet" if run.plan is not None else "no record"


class Progress(NamedTuple):
    """Scores that are there out of those planned, and in words what is missing. planned: None without study.toml."""

    done: int
    planned: int | None
    missing: tuple[str, ...]

    @property
    def finished(self) -> bool | None:
        """None when the plan is not known."""
        return None if self.planned is None else not self.missing


class _Wanted(NamedTuple):
    setting: str
    arm: str
    seed: int | None
    trained_on: str | None
    test_site: str


def progress(run: Run) -> Progress:
    """Compare the records with the plan. Where nothing is drawn, one seed is enough."""
    if run.plan is None:
        return Progress(len(run.scores), None, ())
    wanted = list(_wanted(run.plan, run))
    there: set[_Wanted] = set()
    for score in run.scores:
        seed = None if score.arm in SEEDLESS else score.seed
        trained_on = score.trained_on if score.arm in SINGLE_SITE or score.setting in VARIED else None
        there.add(_Wanted(score.setting, score.arm, seed, trained_on, score.test_site))
    missing = Counter(one.arm for one in wanted if one not in there)
    lines = [f"{arm_label(arm)}: {several(missing[arm], 'score')} missing" for arm in run.plan.arms if missing[arm]]
    lines += _unfinished_training(run.plan, run)
    return Progress(len(wanted) - sum(missing.values()), len(wanted), tuple(lines))


def _wanted(plan: Plan, run: Run) -> Iterator[_Wanted]:
    for cell in run.info.cells:
        if cell.setting in VARIED:
            for site in cell.tests:
                yield _Wanted(cell.setting, cell.arm, cell.seed, cell.trained_on, site)
    for setting in table_settings(run):
        tested = [site for site in tested_sites(run, setting) if documents_in(run, site, "test") != 0]
        for arm in plan.arms:
            if not runs_in(setting, arm):
                continue
            seeds: tuple[int | None, ...] = (None,) if arm in SEEDLESS else plan.seeds
            for seed in seeds:
                for trained_on in _models(plan, run, arm):
                    yield from (_Wanted(setting, arm, seed, trained_on, site) for site in tested)


def _models(plan: Plan, run: Run, arm: str) -> list[str | None]:
    """One model for every site that has training documents in a single-site arm, else one for all."""
    if arm not in SINGLE_SITE:
        return [None]
    new = {site.name for site in run.info.sites if site.new}
    return [site for site in plan.sites if site not in new and documents_in(run, site, "train") != 0]


def _unfinished_variations(run: Run) -> list[str]:
    """Settings of which a model's cost was never written."""
    known = {(cost.arm, cost.seed, cost.trained_on) for cost in run.costs}
    lines = []
    for setting in VARIED:
        planned = {(cell.arm, cell.seed, cell.trained_on) for cell in run.info.cells if cell.setting == setting}
        if planned - known:
            lines.append(f"{setting}: {len(planned & known)} of {several(len(planned), 'model')} finished")
    return lines


def _unfinished_training(plan: Plan, run: Run) -> list[str]:
    """Models whose cost was never written, with the rounds that are there."""
    lines = _unfinished_variations(run)
    whole = [setting for setting in table_settings(run) if setting != LEAVE_ONE_OUT]
    for arm in plan.arms:
        if not any(runs_in(setting, arm) for setting in whole):
            continue
        for seed in plan.seeds if arm not in SEEDLESS else ():
            wanted = len(_models(plan, run, arm))
            own = {cost.trained_on for cost in run.costs if (cost.arm, cost.seed) == (arm, seed)}
            trained = len([trained_on for trained_on in own if is_whole(trained_on)])
            if trained >= wanted:
                continue
            if arm in SINGLE_SITE:
                lines.append(f"{arm_label(arm)}, seed {seed}: {trained} of {wanted} models trained")
                continue
            rounds = len({one.number for one in whole_rounds(run) if (one.arm, one.seed) == (arm, seed)})
            of = f" of {plan.rounds}" if plan.rounds else ""
            lines.append(f"{arm_label(arm)}, seed {seed}: training not finished, {rounds}{of} rounds recorded")
    return lines
