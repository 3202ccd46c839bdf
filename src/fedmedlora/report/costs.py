"""What every model took: bytes, seconds, target tokens, steps; what decoding took, and asking a server."""

from __future__ import annotations

from fedmedlora.report.elements import Markup, fold, head, join, missing, number, paragraph, small, table, words
from fedmedlora.report.numbers import decimal, duration, money, saving, size, whole
from fedmedlora.report.pace import side_by_side
from fedmedlora.report.progress import arm_label, arms_of, is_whole, model_label, seeds_of, sites_of
from fedmedlora.report.records import ArmCost, Run, Score


def costs_section(run: Run) -> list[Markup]:
    """Training, asking a server where an arm does, then decoding and what it left out."""
    return [_training(run), *_asking(run), _decoding(run), _left_out(run)]


def _training(run: Run) -> Markup:
    rows: list[list[Markup]] = []
    for arm in arms_of(run):
        own = sorted(
            (cost for cost in run.costs if cost.arm == arm),
            key=lambda cost: (not is_whole(cost.trained_on), cost.trained_on, cost.seed),
        )
        rows += [_training_row(run, cost) for cost in own]
        if not own:
            rows.append([head(arm_label(arm), "row"), *[number(missing(_why(run, arm)))] * 9])
    if not rows:
        return paragraph("— No training is recorded yet.")
    names = (
        *("Rounds", "Steps", "Target tokens", "Time", "Sent to sites", "Received", "Both", "Whole model instead"),
        "Most memory",
    )
    caption = (
        "What training took. Bytes are measured on the coordinator's messages, over all sites and rounds; “whole model "
        "instead” is what exchanging the whole base model at the same messages would cost. “Most memory” is what the "
        "process held at most while the model was trained and tested: the GPU's where there is one, base included."
    )
    return table(caption, [[head("Model"), *(head(name) for name in names)]], rows)


def _why(run: Run, arm: str) -> str:
    if arm == "zero-shot":
        return "not trained"
    return "not run yet" if run.plan is not None else "no record"


def _training_row(run: Run, cost: ArmCost) -> list[Markup]:
    memory = number(missing("not recorded") if cost.peak_memory_bytes is None else size(cost.peak_memory_bytes))
    if cost.rounds == 0:
        return [_head(run, cost.arm, cost.trained_on, cost.seed), *[number(missing("not trained"))] * 8, memory]
    both = cost.exchanged
    if both is None:
        none = "nothing exchanged" if cost.bytes_sent is None and cost.bytes_received is None else "not recorded"
        traffic = [number(missing(none))] * 4
    else:
        full = cost.full_model_bytes
        full_cell = join([_bytes(full), small(saving(both, full))]) if full else missing("not recorded")
        traffic = [number(_bytes(cost.bytes_sent)), number(_bytes(cost.bytes_received)), number(_bytes(both))]
        traffic.append(number(full_cell))
    return [
        _head(run, cost.arm, cost.trained_on, cost.seed),
        number(whole(cost.rounds)),
        number(whole(cost.steps)),
        number(whole(cost.target_tokens)),
        number(_time(run, cost)),
        *traffic,
        memory,
    ]


def _time(run: Run, cost: ArmCost) -> Markup | str:
    notes = []
    if is_whole(cost.trained_on) and (beside := side_by_side(run, cost.arm, cost.seed)) is not None:
        notes.append(small(f"{duration(beside)} with sites side by side"))
    if cost.validation_seconds and cost.seconds:
        notes.append(small(f"{decimal(100 * cost.validation_seconds / cost.seconds, 1)} % of it validation"))
    return join([duration(cost.seconds), *notes])


def _bytes(count: int | None) -> Markup:
    return join([size(count), small(f"{whole(count)} B")])


def _head(run: Run, arm: str, trained_on: str, seed: int) -> Markup:
    label = model_label(arm, trained_on)
    return head(join([label, small(f"seed {seed}")]) if len(seeds_of(run)) > 1 else label, "row")


def _asking(run: Run) -> list[Markup]:
    rows = [
        [
            _head(run, cost.arm, cost.trained_on, cost.seed),
            words(cost.asked.sent.server),
            words(cost.asked.sent.model),
            number(whole(cost.asked.questions)),
            number(whole(cost.asked.tokens_in)),
            number(whole(cost.asked.tokens_out)),
            number(missing("price not known") if cost.asked.cost is None else money(cost.asked.cost)),
        ]
        for cost in run.costs
        if cost.asked is not None
    ]
    if not rows:
        return []
    names = ("Server", "Its model", "Questions", "Tokens asked", "Tokens answered", "Cost")
    caption = (
        "What asking a server took, in tokens as it counts them. Cost: in the currency of the study's prices "
        "(api.price_in, api.price_out); what a server may charge for attempts that failed is not in it."
    )
    return [table(caption, [[head("Model"), *(head(name) for name in names)]], rows)]


def _decoding(run: Run) -> Markup:
    if not run.scores:
        return paragraph("— No decoding is recorded yet.")
    names = ("Test site", "Documents", "Passes", "Tokens", "Time", "Tokens a second")
    caption = "What decoding the test documents took. Passes: forward passes of the model."
    rows = [_decoding_row(run, score) for score in _in_order(run)]
    return fold("Decoding", table(caption, [[head("Model"), *(head(name) for name in names)]], rows))


def _left_out(run: Run) -> Markup:
    """What prediction and scoring left out, by model, test site and reason."""
    rows = [
        [
            _head(run, score.arm, score.trained_on, score.seed),
            words(score.test_site),
            words(reason),
            number(whole(count)),
        ]
        for score in _in_order(run)
        for reason, count in sorted(score.dropped.items())
    ]
    if not rows:
        return paragraph("Nothing was left out in predicting and scoring.") if run.scores else Markup("")
    caption = "Left out in predicting and scoring test documents, by reason."
    heads = [[head("Model"), head("Test site"), head("Reason"), head("Number")]]
    return fold("Left out in predicting and scoring", table(caption, heads, rows))


def _in_order(run: Run) -> list[Score]:
    """Scores as the page lists them: by setting, arm, model, seed and test site."""
    order = {arm: place for place, arm in enumerate(arms_of(run))}
    sites = {site: place for place, site in enumerate(sites_of(run))}
    return sorted(run.scores, key=lambda s: (s.setting, order[s.arm], s.trained_on, s.seed, sites[s.test_site]))


def _decoding_row(run: Run, score: Score) -> list[Markup]:
    speed = score.tokens / score.seconds if score.tokens is not None and score.seconds else None
    return [
        _head(run, score.arm, score.trained_on, score.seed),
        words(score.test_site),
        number(whole(score.documents)),
        number(whole(score.passes)),
        number(whole(score.tokens)),
        number(duration(score.seconds)),
        number(decimal(speed, 1)),
    ]
