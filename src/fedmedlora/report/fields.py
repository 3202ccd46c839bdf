"""Typed reading of JSON and TOML tables: a wrong or missing value is an InputError that names file and key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from fedmedlora.errors import InputError


@dataclass(frozen=True, slots=True)
class Fields:
    """One table and where it lies, for instance `records.jsonl, record 4`.

    `or_none` methods take an absent key and null alike; the others need a value. Tables and lists that are absent are
    empty, so that a run that was cut short can still be read.
    """

    values: Mapping[str, object]
    where: str

    @classmethod
    def of(cls, value: object, where: str) -> Fields:
        """Check that a value is a table. Raises InputError."""
        if not isinstance(value, dict):
            raise _wrong(where, "a table (JSON object)")
        return cls(value, where)

    def text(self, name: str) -> str:
        """A text that must be there. Raises InputError."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise _wrong(f"{self.where}, '{name}'", "a text")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A text or None. Raises InputError for anything else."""
        return None if self.values.get(name) is None else self.text(name)

    def whole(self, name: str) -> int:
        """A whole number that must be there. Raises InputError."""
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(f"{self.where}, '{name}'", "a whole number")
        return value

    def whole_or_none(self, name: str) -> int | None:
        """A whole number or None. Raises InputError for anything else."""
        return None if self.values.get(name) is None else self.whole(name)

    def number_or_none(self, name: str) -> float | None:
        """A number (it may be infinite or NaN) or None. Raises InputError for anything else."""
        value = self.values.get(name)
        if value is None:
            return None
        if not _is_number(value):
            raise _wrong(f"{self.where}, '{name}'", "a number")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false; absent is false. Raises InputError for anything else."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise _wrong(f"{self.where}, '{name}'", "true or false")
        return value

    def table(self, name: str) -> Fields:
        """The table of that name; empty when absent or null. Raises InputError when it is no table."""
        value = self.values.get(name)
        return Fields.of({} if value is None else value, f"{self.where}, '{name}'")

    def tables(self) -> Iterator[tuple[str, Fields]]:
        """Every value as a table, with its key, in file order. Raises InputError when one is no table."""
        for name, value in self.values.items():
            yield name, Fields.of(value, f"{self.where}, '{name}'")

    def list_of_tables(self, name: str) -> list[Fields]:
        """A list of tables; empty when absent. Raises InputError."""
        return [Fields.of(value, f"{self.where}, '{name}' {place}") for place, value in enumerate(self._list(name))]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty when absent. Raises InputError."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise _wrong(f"{self.where}, '{name}'", "a list of texts")
        return tuple(str(value) for value in values)

    def wholes(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers; empty when absent. Raises InputError."""
        found = tuple(value for value in self._list(name) if isinstance(value, int) and not isinstance(value, bool))
        if len(found) != len(self._list(name)):
            raise _wrong(f"{self.where}, '{name}'", "a list of whole numbers")
        return found

    def pairs(self, name: str) -> tuple[tuple[int, int], ...]:
        """A list of pairs of whole numbers; empty when absent. Raises InputError."""
        found: list[tuple[int, int]] = []
        for value in self._list(name):
            match value:
                case [int(one), int(other)]:
                    found.append((one, other))
                case _:
                    raise _wrong(f"{self.where}, '{name}'", "a list of pairs of whole numbers")
        return tuple(found)

    def rows(self, name: str, width: int) -> tuple[tuple[float, ...], ...]:
        """A list of lists of `width` numbers each; empty when absent. Raises InputError."""
        found: list[tuple[float, ...]] = []
        for value in self._list(name):
            row = tuple(float(one) for one in value if _is_number(one)) if isinstance(value, list) else ()
            if not isinstance(value, list) or not len(row) == len(value) == width:
                raise _wrong(f"{self.where}, '{name}'", f"a list of lists of {width} numbers")
            found.append(row)
        return tuple(found)

    def range_or_none(self, name: str) -> tuple[float, float] | None:
        """Two numbers, low and high, or None. Raises InputError for anything else."""
        match self.values.get(name):
            case None:
                return None
            case [low, high] if _is_number(low) and _is_number(high):
                return float(low), float(high)
            case _:
                raise _wrong(f"{self.where}, '{name}'", "two numbers")

    def scalars(self) -> dict[str, str]:
        """Every value as it is written: texts as they are, numbers and flags in words."""
        return {name: value if isinstance(value, str) else repr(value) for name, value in self.values.items()}

    def counts(self) -> dict[str, int]:
        """Every value as a whole number. Raises InputError."""
        return {name: self.whole(name) for name in self.values}

    def _list(self, name: str) -> list[object]:
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(f"{self.where}, '{name}'", "a list")
        return value


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(where: str, expected: str) -> InputError:
    return InputError(f"{where}: expected {expected}. Restore the file, or run the study again in a new folder.")
