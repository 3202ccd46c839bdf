"""Updates that came before their turn, on disk: memory holds none of them, and a killed process leaves none behind."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np

from fedmedlora.adapters.state import AdapterState, Array
from fedmedlora.errors import EnvironmentProblem


class Shelf:
    """Keeps states of one layout by site, in a file without a name in `folder`, until each is taken once.

    The file is opened when the first state comes, and emptied whenever the last has gone.
    """

    def __init__(self, folder: Path, layout: AdapterState) -> None:
        self._folder = folder
        self._layout = layout
        self._file: io.FileIO | None = None
        self._places: dict[str, int] = {}
        self._end = 0

    def __contains__(self, site: str) -> bool:
        return site in self._places

    def put(self, site: str, state: AdapterState) -> None:
        """Keep a site's state. Raises EnvironmentProblem when it cannot be written."""
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                # Open as long as the shelf is, and on POSIX without a name from the start.
                self._file = tempfile.TemporaryFile("w+b", buffering=0, dir=self._folder)  # noqa: SIM115
            self._file.seek(self._end)
            for name in self._layout.arrays:
                _write_all(self._file, state.arrays[name].data.cast("B"))
        except OSError as error:
            raise EnvironmentProblem(
                f"{self._folder}: an update that has to wait for its turn cannot be kept there ({error.strerror}). "
                f"Make room for {self._layout.nbytes} bytes a site, then resume."
            ) from error
        self._places[site] = self._end
        self._end = self._file.tell()

    def take(self, site: str) -> AdapterState:
        """A site's state, bit for bit, once. Raises KeyError; EnvironmentProblem when it cannot be read."""
        place = self._places.pop(site)
        assert self._file is not None
        try:
            self._file.seek(place)
            arrays = {name: _read_array(self._file, array) for name, array in self._layout.arrays.items()}
            if not self._places:
                self._file.truncate(0)
                self._end = 0
        except OSError as error:
            raise EnvironmentProblem(
                f"{self._folder}: an update that waited there cannot be read ({error.strerror}). Check the disk."
            ) from error
        return AdapterState(arrays, self._layout.spec)

    def close(self) -> None:
        """Give the disk space back."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._places.clear()

    def __del__(self) -> None:
        self.close()


def _write_all(file: io.FileIO, data: memoryview) -> None:
    # One unbuffered write may take less than it is given: Linux stops at 2 GiB.
    while data:
        data = data[file.write(data) :]


def _read_array(file: io.FileIO, like: Array) -> Array:
    array = np.empty(like.shape, np.float32)
    left = array.data.cast("B")
    while left:
        count = file.readinto(left)
        if not count:
            raise OSError(None, "the file ends early")
        left = left[count:]
    # Spares the copy that AdapterState makes of arrays that can still be written to.
    array.setflags(write=False)
    return array
