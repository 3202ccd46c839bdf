"""How a site's notes are divided into train, dev and test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from fedmedlora.config.fields import Checked, Fraction, Seed


class FileSplit(Checked):
    """Documents of train, dev and test listed by id in a JSON file: `"splits.json:chia"`, or a table."""

    path: Path = Field(description="the JSON file; looked for beside the study file, then under corpora_root")
    key: str = Field(min_length=1, description="the object inside it that holds the lists train, dev and test")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        path, colon, key = value.rpartition(":")
        if not (path and colon and key):
            raise ValueError('expected "FILE:KEY", for instance "splits.json:chia"')
        return {"path": path, "key": key}


class PartFiles(Checked):
    """One file per part, for a corpus that is published with its own split."""

    train: Path = Field(description="file of the training part, relative to the site's path")
    dev: Path = Field(description="file of the development part, relative to the site's path")
    test: Path = Field(description="file of the test part, relative to the site's path")


class SeededSplit(Checked):
    """A random split by patient (by document where no patient is given); what is left over is the training part."""

    dev: Fraction = Field(default=0.1, description="share of patients, 0 to 1")
    test: Fraction = Field(default=0.2, description="share of patients, 0 to 1")
    seed: Seed = Field(default=0, description="seed of the shuffle")

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError(f"dev and test take {self.dev + self.test:g} of the patients: leave some for training")
        return self


def _split_kind(value: object) -> str:
    if isinstance(value, str | FileSplit):
        return "file"
    if isinstance(value, PartFiles):
        return "files"
    if isinstance(value, dict) and {"path", "key"} & value.keys():
        return "file"
    if isinstance(value, dict) and ("train" in value or any(isinstance(part, str) for part in value.values())):
        return "files"
    return "seeded"


SPLIT_KINDS = ("file", "files", "seeded")
Split: TypeAlias = Annotated[
    Annotated[FileSplit, Tag("file")] | Annotated[PartFiles, Tag("files")] | Annotated[SeededSplit, Tag("seeded")],
    Discriminator(_split_kind),
]
