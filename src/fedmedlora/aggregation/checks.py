"""What may enter the average: the right spec, names, shapes and dtype, and nothing but numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from fedmedlora.adapters.state import AdapterState, Shapes, shape_mismatch
from fedmedlora.errors import RefusedUpdateError

# Two values of this size still have a finite float32 difference (the largest float32 is 3.4e38).
LARGEST_MAGNITUDE = 1e38

_SHOWN_CHARACTERS = 160


def check_update(site: str, update: AdapterState, reference: AdapterState) -> None:
    """Raise RefusedUpdateError, naming site and tensor, unless `update` may be averaged with states like `reference`.

    Refused, in this order: another base model, rank, alpha or targets; missing and unknown names; other shapes; NaN,
    infinite and absurdly large values (over 1e38, whose differences overflow).
    """
    reason = reference.spec.difference(update.spec)
    if reason is not None:
        raise RefusedUpdateError(site, None, f"{reason}; give the site this study's base model and settings")
    check_layout(site, update.shapes, reference)
    for name in update.doubtful:
        array = update.arrays[name]
        # NaN makes both of these NaN, and no comparison with NaN holds.
        with np.errstate(invalid="ignore"):
            low, high = float(np.min(array)), float(np.max(array))
        if not (low >= -LARGEST_MAGNITUDE and high <= LARGEST_MAGNITUDE):
            _refuse(site, name, _describe(array))


def check_types(site: str, arrays: Mapping[str, npt.NDArray[np.generic]], reference: AdapterState) -> None:
    """The layout of arrays as they came off the wire, and that they are float32, before they become an AdapterState."""
    check_layout(site, {name: tuple(array.shape) for name, array in arrays.items()}, reference)
    for name in sorted(arrays):
        if arrays[name].dtype != np.float32:
            _refuse(site, name, f"its dtype is {arrays[name].dtype}, expected float32")


def check_layout(site: str, shapes: Shapes, reference: AdapterState) -> None:
    """Raise RefusedUpdateError, naming site and tensor, unless names and shapes are those of `reference`."""
    fault = shape_mismatch(reference.shapes, shapes)
    if fault is not None:
        _refuse(site, *fault)


def _describe(array: npt.NDArray[np.generic]) -> str:
    for kind, found in (("NaN", np.isnan(array)), ("infinite", np.isinf(array))):
        count = int(np.count_nonzero(found))
        if count:
            return f"{count} of its {array.size} values are {kind}"
    count = int(np.count_nonzero(np.abs(array) > LARGEST_MAGNITUDE))
    return f"{count} of its {array.size} values exceed {LARGEST_MAGNITUDE:g} in magnitude"


def _refuse(site: str, name: str, reason: str) -> NoReturn:
    # An unknown name is the sender's own text: cut it and escape it before it reaches a log.
    shown = name.encode("unicode_escape").decode("ascii")
    raise RefusedUpdateError(site, shown[:_SHOWN_CHARACTERS], reason)
