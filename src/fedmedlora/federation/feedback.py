"""Error feedback: what a site's 8-bit update lost in one round is added to what it sends in the next.

Without it a value whose change stays under half its block's scale would never move at the coordinator, however many
rounds push it the same way (Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847).

The loss lies on the site's own disk, in a file named after site, federation and the round after which it was saved, and
written whole before the update leaves. So a round that is asked for again begins with the same loss and sends the same
bits, whatever was killed in between. The federation's digest is in the name, because a site may have missed a round in
which an earlier federation saved something. Files of the last two rounds are kept, in case the last is asked for again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from fedmedlora.adapters.state import AdapterState, add, from_bytes, require_same_shape, subtract, to_bytes
from fedmedlora.aggregation.checks import check_update
from fedmedlora.errors import AdapterError
from fedmedlora.federation.codec import Encoded, decode_state, encode_state
from fedmedlora.record import write_atomic

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Losses:
    """What one site's updates lost in one federation. folder: the site's. federation: hexadecimal digits."""

    folder: Path
    site: str
    federation: str

    def recall(self, round: int, like: AdapterState) -> AdapterState | None:
        """What was lost in the round before `round`; None where nothing was kept, as before the first.

        Raises AdapterError when the file is damaged or does not fit `like`.
        """
        if round == 0:
            return None
        path = self._path(round - 1)
        try:
            lost = from_bytes(path.read_bytes())
            require_same_shape(like, lost)
        except FileNotFoundError:
            _log.warning("site '%s', round %d: nothing is kept of the round before", self.site, round + 1)
            return None
        except (OSError, AdapterError) as error:
            raise AdapterError(
                f"site '{self.site}', round {round + 1}: {path.name} cannot be used ({type(error).__name__}). Restore "
                "it, or delete it to go on without what the round before could not send."
            ) from error
        return lost

    def keep(self, round: int, lost: AdapterState) -> None:
        """Save what was lost in `round`, and drop what no round can ask for any more."""
        write_atomic(self._path(round), to_bytes(lost))
        self._path(round - 2).unlink(missing_ok=True)

    def _path(self, round: int) -> Path:
        return self.folder / f"residual-{self.site}-{self.federation[:16]}-{round}.safetensors"


def encode_with_feedback(change: AdapterState, round: int, losses: Losses) -> Encoded:
    """A round's change, with what the round before lost, in 8 bits; what this one loses is kept.

    Raises RefusedUpdateError, naming site and tensor, for a sum that is too large to be sent; AdapterError as `recall`.
    """
    before = losses.recall(round, change)
    wanted = change if before is None else add(change, before)
    check_update(losses.site, wanted, wanted)
    encoded = encode_state("int8", wanted)
    losses.keep(round, subtract(wanted, decode_state(encoded)))
    return encoded
