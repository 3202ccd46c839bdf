"""Reading a run directory. Half a run loads too; damage is an InputError with file and place."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fedmedlora.errors import InputError
from fedmedlora.record import read_json_lines
from fedmedlora.report.fields import Fields
from fedmedlora.report.progress import PAPER_ARMS
from fedmedlora.report.records import (
    ArmCost,
    Asked,
    Cell,
    Destination,
    Part,
    Plan,
    PlannedCell,
    Round,
    Run,
    RunInfo,
    Score,
    Site,
    SiteRound,
    Variant,
    Weights,
)
from fedmedlora.scoring import (
    MODES,
    TASKS,
    Confidence,
    Count,
    Counts,
    Interval,
    Mode,
    ReliabilityBin,
    Step,
    TaskScores,
)

_Record = TypeVar("_Record")


def load_run(folder: Path) -> Run:
    """Read a run directory.

    Of two records of one cell the later one stands: a resumed run repeats what it was killed in.
    Raises InputError, naming the file, when run.json is missing or anything cannot be read.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise InputError(
            f"{path}: not found, so '{folder}' is not a run directory or its run never started. Give the folder that "
            "`fedmedlora run` wrote (the one that holds run.json), or start the study with `fedmedlora run STUDY.toml`."
        )
    left_out: Counter[str] = Counter()
    scores, costs = _records(folder / "records.jsonl", left_out)
    study = _text(folder / "study.toml") if (folder / "study.toml").is_file() else None
    return Run(
        folder=folder.resolve().name,
        info=_info(_json(path)),
        study=study,
        plan=None if study is None else _plan(study, folder / "study.toml"),
        scores=scores,
        costs=costs,
        rounds=_rounds(folder / "rounds.jsonl", left_out),
        left_out=left_out,
    )


def _records(path: Path, left_out: Counter[str]) -> tuple[tuple[Score, ...], tuple[ArmCost, ...]]:
    scores: dict[object, Score] = {}
    costs: dict[object, ArmCost] = {}
    for fields in _lines(path):
        kind = fields.values.get("kind")
        if kind == "score":
            score = _score(fields)
            _keep(scores, (score.setting, score.arm, score.seed, score.trained_on, score.test_site), score, left_out)
        elif kind == "arm":
            cost = _cost(fields)
            _keep(costs, (cost.setting, cost.arm, cost.seed, cost.trained_on), cost, left_out)
        else:
            left_out["record of a kind that this version does not know"] += 1
    return tuple(scores.values()), tuple(costs.values())


def _rounds(path: Path, left_out: Counter[str]) -> tuple[Round, ...]:
    rounds: dict[object, Round] = {}
    for fields in _lines(path):
        one = _round(fields)
        _keep(rounds, (one.arm, one.seed, one.trained_on, one.number), one, left_out)
    return tuple(sorted(rounds.values(), key=lambda one: one.number))


def _keep(found: dict[object, _Record], key: object, record: _Record, left_out: Counter[str]) -> None:
    if key in found:
        left_out["record replaced by a later one of the same cell"] += 1
    found[key] = record


def _lines(path: Path) -> list[Fields]:
    try:
        return [Fields(v, f"{path}, record {place}") for place, v in enumerate(read_json_lines(path), start=1)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the file's permissions.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the file's permissions.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8, byte {error.start} is not. Restore the file.") from error


def _json(path: Path) -> Fields:
    try:
        return Fields.of(json.loads(_text(path)), str(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON. Restore the file, or run the study again in a new folder.") from error


def _info(fields: Fields) -> RunInfo:
    return RunInfo(
        name=fields.text("name"),
        command=fields.text_or_none("command"),
        started=fields.text_or_none("started"),
        versions=fields.table("versions").scalars(),
        machine=fields.table("machine").scalars(),
        base=_weights(fields.table("base")),
        adapter=_weights(fields.table("adapter")),
        seeds=fields.wholes("seeds"),
        sites=tuple(_site(site) for site in fields.list_of_tables("sites")),
        divergences={name: _divergences(found) for name, found in fields.table("heterogeneity").tables()},
        cells=tuple(_planned(cell) for cell in fields.list_of_tables("cells")),
        api=_destination(fields.table("api")) if fields.values.get("api") is not None else None,
    )


def _destination(fields: Fields) -> Destination:
    return Destination(fields.text("server"), fields.text("model"), fields.table("credentialed_notes").counts())


def _asked(fields: Fields) -> Asked:
    return Asked(
        sent=_destination(fields),
        questions=fields.whole("questions"),
        tokens_in=fields.whole("tokens_in"),
        tokens_out=fields.whole("tokens_out"),
        cost=fields.number_or_none("cost"),
    )


def _planned(fields: Fields) -> PlannedCell:
    return PlannedCell(
        setting=fields.text("setting"),
        arm=fields.text("arm"),
        seed=fields.whole("seed"),
        trained_on=fields.text("trained_on"),
        variant=fields.table("variant").scalars(),
        rounds=fields.whole_or_none("rounds"),
        tests=fields.table("tests").scalars(),
    )


def _divergences(fields: Fields) -> dict[str, dict[str, float | None]]:
    """Site → other site → bits."""
    return {one: {other: row.number_or_none(other) for other in row.values} for one, row in fields.tables()}


def _plan(text: str, path: Path) -> Plan:
    try:
        fields = Fields(tomllib.loads(text), str(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not readable as TOML ({error}). Restore the file.") from error
    tasks = fields.texts("tasks")
    return Plan(
        arms=fields.texts("arms") or PAPER_ARMS,
        settings=fields.texts("settings"),
        seeds=fields.wholes("seeds"),
        sites=tuple(site.text("name") for site in fields.list_of_tables("sites")),
        tasks=tuple(task for task in TASKS if task in tasks) or TASKS,
        rounds=fields.whole_or_none("rounds"),
        passes=fields.table("training").whole_or_none("epochs_per_round"),
        encoder_passes=fields.table("bert").whole_or_none("epochs_per_round"),
        scored=fields.table("evaluation").text_or_none("part") or "test",
    )


def _weights(fields: Fields) -> Weights:
    return Weights(
        name=fields.text_or_none("name"),
        digest=fields.text_or_none("digest"),
        parameters=fields.whole_or_none("parameters"),
        bytes=fields.whole_or_none("bytes"),
    )


def _site(fields: Fields) -> Site:
    return Site(
        name=fields.text("name"),
        synthetic=fields.flag("synthetic"),
        external=fields.flag("external"),
        new=fields.flag("new"),
        recipe=fields.text_or_none("recipe"),
        labels=fields.texts("labels"),
        parts={name: _part(part) for name, part in fields.table("parts").tables()},
        dropped=fields.table("dropped").counts(),
    )


def _part(fields: Fields) -> Part:
    return Part(
        documents=fields.whole("documents"),
        used=fields.whole_or_none("used"),
        digest=fields.text_or_none("digest"),
        examples=fields.table("examples").counts(),
        target_tokens=fields.whole_or_none("target_tokens"),
    )


def _score(fields: Fields) -> Score:
    scores, intervals, decode = fields.table("scores"), fields.table("intervals"), fields.table("decode")
    sure, errors = fields.table("confidence"), fields.table("errors")
    return Score(
        setting=fields.text("setting"),
        arm=fields.text("arm"),
        seed=fields.whole("seed"),
        trained_on=fields.text("trained_on"),
        test_site=fields.text("test_site"),
        documents=fields.whole("documents"),
        tasks={task: _task_scores(scores.table(task)) for task in TASKS if scores.values.get(task) is not None},
        intervals=_cells(intervals, lambda task, mode: _interval(task.table(mode))),
        tallies=_cells(fields.table("tallies"), lambda task, mode: task.pairs(mode)),
        confidence={task: _confidence(sure.table(task)) for task in TASKS if sure.values.get(task) is not None},
        errors={task: errors.table(task).counts() for task in TASKS if errors.values.get(task) is not None},
        passes=decode.number_or_none("passes"),
        tokens=decode.number_or_none("tokens"),
        seconds=decode.number_or_none("seconds"),
        dropped=fields.table("dropped").counts(),
        adapter_digest=fields.text_or_none("adapter_digest"),
        variant=_variant(fields.table("variant")),
    )


def _variant(fields: Fields) -> Variant:
    return Variant(
        notes=fields.whole_or_none("notes"),
        start=fields.text_or_none("start"),
        case=fields.text_or_none("case"),
        sites=fields.whole_or_none("sites"),
        split=fields.text_or_none("split"),
    )


def _cells(fields: Fields, read: Callable[[Fields, Mode], _Record]) -> dict[Cell, _Record]:
    """Whatever is there of `{"ner": {"strict": …, "lenient": …}, "re": {…}}`, by task and mode."""
    return {
        (task, mode): read(fields.table(task), mode)
        for task in TASKS
        for mode in MODES
        if mode in fields.table(task).values
    }


def _confidence(fields: Fields) -> Confidence:
    return Confidence(
        auprc=fields.number_or_none("auprc"),
        interval=fields.range_or_none("auprc_interval"),
        ece=fields.number_or_none("ece"),
        brier=fields.number_or_none("brier"),
        bins=tuple(ReliabilityBin(int(size), mean, right) for size, mean, right in fields.rows("bins", 3)),
        curve=tuple(Step(recall, precision) for recall, precision in fields.rows("curve", 2)),
        scored=fields.whole("scored"),
    )


def _task_scores(fields: Fields) -> TaskScores:
    types = {name: _counts(counts) for name, counts in fields.table("types").tables()}
    return TaskScores(_count(fields.table("strict")), _count(fields.table("lenient")), types)


def _counts(fields: Fields) -> Counts:
    return Counts(_count(fields.table("strict")), _count(fields.table("lenient")))


def _count(fields: Fields) -> Count:
    """The counts alone: quotients follow from them."""
    return Count(fields.whole("gold"), fields.whole("pred"), fields.whole("correct"))


def _interval(fields: Fields) -> Interval:
    return Interval(
        low=fields.number_or_none("low"),
        high=fields.number_or_none("high"),
        point=fields.number_or_none("point"),
        documents=fields.whole("documents"),
        resamples=fields.whole("resamples"),
        undefined=fields.whole_or_none("undefined") or 0,
    )


def _cost(fields: Fields) -> ArmCost:
    return ArmCost(
        setting=fields.text("setting"),
        arm=fields.text("arm"),
        seed=fields.whole("seed"),
        trained_on=fields.text("trained_on"),
        seconds=fields.number_or_none("seconds"),
        validation_seconds=fields.number_or_none("validation_seconds"),
        target_tokens=fields.whole_or_none("target_tokens"),
        steps=fields.whole_or_none("steps"),
        rounds=fields.whole_or_none("rounds"),
        bytes_sent=fields.whole_or_none("bytes_sent"),
        bytes_received=fields.whole_or_none("bytes_received"),
        full_model_bytes=fields.whole_or_none("full_model_bytes"),
        adapter_digest=fields.text_or_none("adapter_digest"),
        peak_memory_bytes=fields.whole_or_none("peak_memory_bytes"),
        variant=_variant(fields.table("variant")),
        asked=_asked(fields.table("api")) if fields.values.get("api") is not None else None,
    )


def _round(fields: Fields) -> Round:
    return Round(
        arm=fields.text("arm"),
        seed=fields.whole("seed"),
        trained_on=fields.text("trained_on"),
        number=fields.whole("round"),
        seconds=fields.number_or_none("seconds"),
        sites={name: _site_round(site) for name, site in fields.table("sites").tables()},
        dev={
            name: _cells(site, lambda task, mode: task.number_or_none(mode))
            for name, site in fields.table("dev").tables()
        },
    )


def _site_round(fields: Fields) -> SiteRound:
    return SiteRound(
        loss=fields.number_or_none("loss"),
        validation_loss=fields.number_or_none("validation_loss"),
        weight=fields.number_or_none("weight"),
        target_tokens=fields.whole_or_none("target_tokens"),
        steps=fields.whole_or_none("steps"),
        seconds=fields.number_or_none("seconds"),
        refused=fields.text_or_none("refused"),
    )
