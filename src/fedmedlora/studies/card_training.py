"""What a model card says of training: the method in a sentence, the settings that were used, the notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedmedlora.config.arms import BERT, BERT_WHOLE
from fedmedlora.config.models import StudyConfig
from fedmedlora.studies.card_combining import combining, exchanged
from fedmedlora.studies.cells import Cell, bert_settings, cell_settings, few_notes_settings
from fedmedlora.studies.uneven import describe_change
from fedmedlora.studies.variants import Changed, FewNotes, LeaveOneOut, LowResource, Scaling, Uneven
from fedmedlora.training.loop import TrainSettings

_METHODS = {
    "zero-shot": "Nothing was trained: the adapter is as it was drawn, and stands for the bare base model.",
    "single-site": "One site's notes alone, without federation.",
    "centralised": "The notes of all sites that train in one place, without federation.",
    "fedmedlora": "Fed-MedLoRA: every round the sites' adapters are averaged by training target tokens.",
    "fedmedlora-plus": "Fed-MedLoRA+: the average weights each site's adapter by what validation notes say of it.",
    "fedprox": "FedProx: Fed-MedLoRA with a proximal term in every site's loss.",
    "fedsa-lora": "FedSA-LoRA: A is averaged every round; B is this site's own and never left it.",
    "ffa-lora": "FFA-LoRA: B is averaged every round; A stayed as it was drawn.",
    "bert-single-site": "One site's notes alone, without federation; all weights of the encoder were trained.",
    "bert-centralised": "The notes of all sites that train in one place, without federation; all weights of the "
    "encoder were trained.",
    "bert-fedavg": "FedAvg: every round all weights of the sites' encoders are averaged by tagged training tokens.",
    "bert-lora-single-site": "One site's notes alone, without federation; the encoder was frozen.",
    "bert-lora-centralised": "The notes of all sites that train in one place, without federation; the encoder was "
    "frozen.",
    "bert-lora-fedmedlora": "Fed-MedLoRA on an encoder: every round the sites' adapters and heads are averaged by "
    "tagged training tokens; the encoder was frozen.",
    "bert-lora-fedmedlora-plus": "Fed-MedLoRA+ on an encoder: the average weights each site's adapter and heads by "
    "what validation notes say of them; the encoder was frozen.",
}
_OBJECTIVES = {
    "choice": "choice: cross-entropy over what decoding may choose from",
    "lm": "lm: cross-entropy over the whole vocabulary",
    "mixed": "mixed: cross-entropy over what decoding may choose from, and a share of that over the whole vocabulary",
}
_NOT_RECORDED = "not recorded"


def method(config: StudyConfig, cell: Cell) -> str:
    """How it was trained, in a sentence or two."""
    match cell.variant:
        case LowResource(site, notes):
            return (
                f"{_counted(notes, 'note')} of {site}, a site that nobody trained on before, beginning with "
                f"{_beginning(cell)}; {_trained_there(cell)} trained there."
            )
        case LeaveOneOut(site):
            how = f" The notes of {site} were left out."
        case Uneven(name):
            case = next(case for case in config.uneven_cases if case.name == name)
            how = f" Annotation was uneven: {'; '.join(describe_change(change) for change in case.sites)}."
        case Scaling(sites, split):
            skew = f", Dirichlet α = {config.scaling.dirichlet:g}" if split.endswith("skew") else ""
            how = f" The sites' notes were pooled and divided into {_counted(sites, 'site')} ({split}{skew})."
        case None:
            how = ""
    return _METHODS[cell.arm] + how


def _beginning(cell: Cell) -> str:
    """What few notes were trained from."""
    if cell.start is not None:
        return f"the {'model' if cell.arm in BERT_WHOLE else 'adapter'} of {cell.start.arm}, seed {cell.seed}"
    if cell.arm in BERT_WHOLE:
        return "the encoder as it was pre-trained and heads drawn at random"
    return "an untrained adapter and heads drawn at random" if cell.arm in BERT else "an untrained adapter"


def _trained_there(cell: Cell) -> str:
    if cell.arm in BERT_WHOLE:
        return "all weights were"
    return "A, B and the heads were" if cell.arm in BERT else "A and B were both"


def settings_rows(
    config: StudyConfig, cell: Cell, info: Mapping[str, Any], trained: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Every setting that decided the result, and what training cost. trained: the cell's record."""
    settings = _settings(config, cell, info)
    rounds, over = trained["rounds"], ", over all sites" if cell.federated else ""
    objective = "cross-entropy over the tags that are allowed" if cell.arm in BERT else _OBJECTIVES[settings.objective]
    passes = str(settings.epochs) if isinstance(cell.variant, LowResource) else f"{rounds} × {settings.epochs}"
    return [
        ("Passes" if isinstance(cell.variant, LowResource) else "Rounds × passes", passes),
        ("Optimizer steps", f"{trained['steps']:,}{over}"),
        ("Target tokens", f"{trained['target_tokens']:,}, repeats counted"),
        ("Examples", _examples(config, cell)),
        ("Objective", objective),
        *(
            [("Proximal term", f"μ/2 ‖w − w₀‖², μ = {settings.proximal_mu:g}; w₀: the round's global adapter")]
            if settings.proximal_mu
            else []
        ),
        ("Peak learning rate", _rate(settings)),
        ("AdamW", _optimizer(settings, rounds)),
        ("Examples a step", f"{settings.batch_size * settings.gradient_accumulation}"),
        *(combining(config, cell, info, settings.objective) if cell.federated else []),
        *([("Exchanged", exchanged(config, cell, trained))] if cell.federated else []),
        ("Precision", str(info["machine"].get("precision", _NOT_RECORDED))),
        ("Seconds", f"{trained['seconds']:,.0f} on {_machine(info)}"),
        *_origin(info, trained),
    ]


def notes_rows(cell: Cell, info: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What it was trained on: site, documents, examples of each task, labels, digest."""
    plain = cell.sites if isinstance(cell.variant, Scaling) else cell.sources
    sites = [_site_row(one, _example_counts(cell, info, one)) for one in info["sites"] if one["name"] in plain]
    return [*sites, *(_derived_row(made, _derived_counts(cell, info, made)) for made in _derived(cell, info))]


def _settings(config: StudyConfig, cell: Cell, info: Mapping[str, Any]) -> TrainSettings:
    if cell.arm in BERT:
        settings = bert_settings(cell, config.training, config.bert)
    else:
        settings = cell_settings(cell, config.training, config.fedprox)
    if not isinstance(cell.variant, LowResource):
        return settings
    examples = sum(sum(_derived_counts(cell, info, made).values()) for made in _derived(cell, info))
    return few_notes_settings(settings, config, examples)


def _examples(config: StudyConfig, cell: Cell) -> str:
    most = config.training.max_train_examples
    # The few notes of a new site are used whole.
    everything = most is None or isinstance(cell.variant, LowResource)
    capped = "all" if everything else f"at most {most:,} of each task from every site"
    if cell.arm in BERT:
        return f"{capped}; texts are cut at {config.bert.max_tokens:,} tokens"
    return f"{capped}, of at most {config.training.max_tokens:,} tokens"


def _rate(settings: TrainSettings) -> str:
    heads, warm = "", f"{settings.warmup_fraction:.3g}"
    if settings.head_lr:
        heads, warm = f", heads {settings.head_lr:g}", f"{warm} (heads {settings.head_warmup_fraction:.3g})"
    return f"{settings.lr:g}{heads}, one cosine over all steps; share of them that warms up: {warm}"


def _optimizer(settings: TrainSettings, rounds: int) -> str:
    said = f"weight decay {settings.weight_decay:g}, gradient norm at most {settings.clip_norm_l2:g}"
    if rounds < 2:
        return said
    return f"{said}, moments {'kept from round to round' if settings.keep_moments else 'reset every round'}"


def _origin(info: Mapping[str, Any], trained: Mapping[str, Any]) -> list[tuple[str, str]]:
    command = f"`{info['command']}`" if info["command"] else _NOT_RECORDED
    if "reused_from" not in trained:
        return [("Command", command)]
    return [
        ("Taken from", f"another run, whose run.json is `{trained['reused_from']}`"),
        ("Command of this run", command),
    ]


def _machine(info: Mapping[str, Any]) -> str:
    machine = info["machine"]
    threads = f"{_counted(machine['threads'], 'thread')} of {machine['architecture']}, no GPU"
    return str(machine["accelerator"] or threads)


def _example_counts(cell: Cell, info: Mapping[str, Any], site: Mapping[str, Any]) -> Mapping[str, int]:
    whole = info["encoder"]["sites"][site["name"]] if cell.arm in BERT else site["parts"]["train"]
    counts: Mapping[str, int] = whole["examples"]
    return counts


def _derived(cell: Cell, info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of run.json's, those that the cell was trained on; of shards the sites tell enough."""
    made = [source for source in cell.sources if isinstance(source, FewNotes | Changed)]
    keys = {(source.name, source.seed if isinstance(source, FewNotes) else None) for source in made}
    return [one for one in info["derived"] if (one["name"], one["seed"]) in keys]


def _derived_counts(cell: Cell, info: Mapping[str, Any], made: Mapping[str, Any]) -> Mapping[str, int]:
    """Examples by task. An encoder may be given others than the base model: longer texts, which it cuts."""
    known = info["encoder"]["derived"] if cell.arm in BERT else [made]
    counts: Mapping[str, int] = next(
        one["examples"] for one in known if (one["name"], one["seed"]) == (made["name"], made["seed"])
    )
    return counts


def _derived_row(made: Mapping[str, Any], examples: Mapping[str, int]) -> tuple[str, ...]:
    counts = tuple(f"{examples.get(task, 0):,}" for task in ("ner", "re"))
    return (made["name"], f"{made['documents']:,}", *counts, str(len(made["labels"])), f"`{made['digest']}`")


def _site_row(site: Mapping[str, Any], examples: Mapping[str, int]) -> tuple[str, ...]:
    part = site["parts"]["train"]
    kind = " (generated notes)" if site["synthetic"] else ""
    counts = (part["documents"], examples.get("ner", 0), examples.get("re", 0))
    return (
        f"{site['name']}{kind}",
        *(f"{count:,}" for count in counts),
        str(len(site["labels"])),
        f"`{part['digest']}`",
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
