"""A study file and flags in, one resolved `StudyConfig` out; and back into a file that can be run again.

    base = "bundled"
    corpora_root = "../corpora"
    rounds = 3

    [[sites]]
    name = "chia"
    path = "chia"
    recipe = "chia"
    split = "splits.json:chia"

A value comes from a flag (`--set KEY=VALUE`), else the environment (`FEDMEDLORA_CORPORA` for `corpora_root`), else the
file, else the default. Relative paths in the file count from the file's folder, a site's `path` and `split` from
`corpora_root`; relative paths in a flag or in the environment count from the working folder.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedmedlora.config.api import ApiConfig
from fedmedlora.config.encoder import MINILM, BertConfig
from fedmedlora.config.models import (
    BUNDLED,
    EvaluationConfig,
    FederationConfig,
    PlusConfig,
    ProxConfig,
    ReportConfig,
    SiteConfig,
    StudyConfig,
    SyntheticNotes,
    TrainingConfig,
)
from fedmedlora.config.settings import CaseConfig, ChangeConfig, LowResourceConfig, ScalingConfig, UnevenConfig
from fedmedlora.config.splits import SPLIT_KINDS, FileSplit, PartFiles, SeededSplit
from fedmedlora.errors import ConfigError, nearest

CORPORA_VARIABLE = "FEDMEDLORA_CORPORA"

_Table: TypeAlias = dict[str, object]
_PATH_KEYS = ("base", "corpora_root", "labels", "bert.encoder")
_MODEL_KEYS = ("base", "bert.encoder")
_BARE_WORD = re.compile(r"[A-Za-z./~][^\s\"'\[\]{},=#]*")

# Where a table of that name stands, which model describes it; split kinds stand under their tag.
_MODELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): StudyConfig,
    ("training",): TrainingConfig,
    ("plus",): PlusConfig,
    ("bert",): BertConfig,
    ("fedprox",): ProxConfig,
    ("api",): ApiConfig,
    ("federation",): FederationConfig,
    ("evaluation",): EvaluationConfig,
    ("low_resource",): LowResourceConfig,
    ("uneven",): UnevenConfig,
    ("uneven", "cases"): CaseConfig,
    ("uneven", "cases", "sites"): ChangeConfig,
    ("scaling",): ScalingConfig,
    ("report",): ReportConfig,
    ("sites",): SiteConfig,
    ("sites", "synthetic"): SyntheticNotes,
    ("sites", "split", "file"): FileSplit,
    ("sites", "split", "files"): PartFiles,
    ("sites", "split", "seeded"): SeededSplit,
}


def load_study(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> StudyConfig:
    """Read, check and resolve a study file; every path of the result is absolute and exists.

    overrides: `KEY=VALUE` texts, KEY dotted (`training.lr`, `sites.chia.path`), VALUE as in TOML; a bare word is text.
    environment: variables to look in; None means the process's own.

    Raises ConfigError naming the file, the key and the nearest known key or value, all mistakes of the file at once.
    """
    variables = os.environ if environment is None else environment
    table = _read(path)
    folder = path.resolve().parent
    if CORPORA_VARIABLE in variables:
        table["corpora_root"] = str(Path(variables[CORPORA_VARIABLE]).expanduser().absolute())
    for override in overrides:
        _override(table, override)
    table.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem))
    table.setdefault("corpora_root", ".")
    try:
        config = StudyConfig.model_validate(table)
    except ValidationError as error:
        lines = [_explain(details, table) for details in _told_once(error.errors())]
        raise ConfigError("\n".join(f"{path}: {line}" for line in lines)) from error
    return _Resolver(path, folder).study(config)


def study_table(config: StudyConfig, folder: Path) -> dict[str, object]:
    """The whole study as plain values, defaults included, paths relative to `folder`; unset keys are left out.

    Relative paths keep the names of one machine's folders out of a record that is published.
    """
    table: dict[str, object] = config.model_dump(mode="json", exclude_none=True)
    table["corpora_root"] = _relative(config.corpora_root, folder)
    if config.labels is not None:
        table["labels"] = _relative(config.labels, folder)
    if Path(config.base).is_absolute():
        table["base"] = _relative(Path(config.base), folder)
    if config.bert.encoder is not None and Path(config.bert.encoder).is_absolute():
        encoder = _relative(Path(config.bert.encoder), folder)
        table["bert"] = {**config.bert.model_dump(mode="json", exclude_none=True), "encoder": encoder}
    table["sites"] = [_site_table(site, config.corpora_root, folder) for site in config.sites]
    return table


def study_toml(config: StudyConfig, folder: Path) -> str:
    """The text of a study file that, written into `folder`, loads as this same config."""
    return tomli_w.dumps(study_table(config, folder.resolve()))


def _site_table(site: SiteConfig, corpora_root: Path, folder: Path) -> dict[str, object]:
    table: dict[str, object] = site.model_dump(mode="json", exclude_none=True)
    if site.path is not None:
        table["path"] = _relative(site.path, corpora_root)
    if isinstance(site.split, FileSplit):
        table["split"] = f"{_relative(site.split.path, folder)}:{site.split.key}"
    if isinstance(site.split, PartFiles) and site.path is not None:
        parts = {"train": site.split.train, "dev": site.split.dev, "test": site.split.test}
        table["split"] = {part: _relative(file, site.path) for part, file in parts.items()}
    return table


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _read(path: Path) -> _Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such study file.") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: a folder; expected a study file (TOML).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}.") from error


def _override(table: _Table, override: str) -> None:
    """Put one `KEY=VALUE` into the table."""
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not (equals and all(keys)):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, for instance training.lr=1e-4.")
    value = _parse(override, text.strip())
    if ".".join(keys) in _PATH_KEYS and isinstance(value, str):
        value = _from_working_folder(".".join(keys), value)
    place: object = table
    for name in keys[:-1]:
        place = _step(override, place, name)
    if not isinstance(place, dict):
        raise ConfigError(f"--set {override}: '{'.'.join(keys[:-1])}' is not a table, so it has no '{keys[-1]}'.")
    place[keys[-1]] = value


def _parse(override: str, text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if _BARE_WORD.fullmatch(text):
            return text
        raise ConfigError(
            f'--set {override}: the value is not TOML. Expected a number, true, false, "text" or ["a", "b"]; '
            "quote the whole for the shell."
        ) from error


def _from_working_folder(key: str, value: str) -> str:
    path = Path(value).expanduser()
    if key in _MODEL_KEYS and not (path.is_dir() or _looks_like_path(value)):
        return value
    return str(path.absolute())


def _step(override: str, place: object, name: str) -> object:
    """Go into the table of that name; into a list of tables, by the `name` of its element."""
    if isinstance(place, dict):
        return place.setdefault(name, {})
    if isinstance(place, list):
        named = {item["name"]: item for item in place if isinstance(item, dict) and "name" in item}
        if name in named:
            return named[name]
        raise ConfigError(f"--set {override}: no site is called '{name}': {nearest(name, map(str, named))}.")
    raise ConfigError(f"--set {override}: '{name}' stands under a value, not under a table.")


def _told_once(mistakes: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is too short when it is so only because its elements are wrong."""
    places = [mistake["loc"] for mistake in mistakes]
    return [
        mistake
        for mistake in mistakes
        if mistake["type"] != "too_short"
        or not any(
            len(place) > len(mistake["loc"]) and place[: len(mistake["loc"])] == mistake["loc"] for place in places
        )
    ]


def _explain(details: ErrorDetails, table: _Table) -> str:
    """One line for one mistake: the key, what is wrong, what would be right."""
    where = _key(details["loc"], table)
    kind = details["type"]
    if kind == "extra_forbidden":
        place = tuple(part for part in details["loc"][:-1] if isinstance(part, str))
        return f"{where}: unknown key; {nearest(str(details['loc'][-1]), _MODELS[place].model_fields)}."
    if kind == "missing":
        return f"{where}: missing."
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
        return f"{where}: unknown value '{details['input']}'; {nearest(str(details['input']), known)}."
    message = details["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]}." if where else f"{message}."


def _key(location: Sequence[str | int], table: _Table) -> str:
    """The dotted key as `--set` takes it, a site by its name."""
    parts: list[str] = []
    for part in location:
        if isinstance(part, str):
            if not (part in SPLIT_KINDS and parts[-1:] == ["split"]):
                parts.append(part)
            continue
        if parts == ["sites"]:
            sites = table.get("sites")
            site = sites[part] if isinstance(sites, list) else None
            name = site.get("name") if isinstance(site, dict) else None
            parts.append(name if isinstance(name, str) else f"#{part + 1}")
        else:
            parts[-1] = f"{parts[-1]}[{part}]"
    return ".".join(parts)


def _looks_like_path(base: str) -> bool:
    return base.startswith((".", "/", "~"))


class _Resolver:
    """Makes the paths of one study absolute and checks that what they name exists."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = file
        self._folder = folder

    def study(self, config: StudyConfig) -> StudyConfig:
        root = self._absolute(self._folder, config.corpora_root)
        if any(site.path is not None for site in config.sites):
            self._must_exist("corpora_root", root, f"Set it in the file, or set {CORPORA_VARIABLE}.")
        labels = config.labels
        if labels is not None:
            labels = self._absolute(self._folder, labels)
            self._must_exist("labels", labels, "Give the TOML file of the label set.")
        sites = tuple(self._site(site, root) for site in config.sites)
        base = self._model("base", config.base, BUNDLED)
        bert = config.bert
        if bert.encoder is not None:
            bert = bert.model_copy(update={"encoder": self._model("bert.encoder", bert.encoder, MINILM)})
        found = {"base": base, "bert": bert, "corpora_root": root, "labels": labels, "sites": sites}
        return config.model_copy(update=found)

    def _model(self, key: str, base: str, packaged: str) -> str:
        if base == packaged:
            return base
        path = self._absolute(self._folder, Path(base))
        if not (_looks_like_path(base) or path.exists()):
            return base
        self._must_exist(key, path, f"Give '{packaged}', a folder with a model, or a Hugging Face hub name.")
        return str(path)

    def _site(self, site: SiteConfig, root: Path) -> SiteConfig:
        if site.path is None:
            return site
        key = f"sites.{site.name}"
        path = self._absolute(root, site.path)
        self._must_exist(f"{key}.path", path, "Give the file or folder of this site's notes; relative to corpora_root.")
        split = site.split
        if isinstance(split, FileSplit):
            beside = self._absolute(self._folder, split.path)
            file = beside if beside.exists() else self._absolute(root, split.path)
            self._must_exist(f"{key}.split", file, "It is looked for beside the study file, then under corpora_root.")
            split = FileSplit(path=file, key=split.key)
        elif isinstance(split, PartFiles):
            parts = {name: self._absolute(path, getattr(split, name)) for name in ("train", "dev", "test")}
            for name, file in parts.items():
                self._must_exist(
                    f"{key}.split.{name}", file, "Give the file of this part, relative to the site's path."
                )
            split = PartFiles(**parts)
        return site.model_copy(update={"path": path, "split": split})

    @staticmethod
    def _absolute(folder: Path, path: Path) -> Path:
        return Path(os.path.normpath(folder / path.expanduser()))

    def _must_exist(self, key: str, path: Path, advice: str) -> None:
        if not path.exists():
            raise ConfigError(f"{self._file}: {key}: '{path}' does not exist. {advice}")
