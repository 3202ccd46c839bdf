"""How much each benchmark does: plain numbers that every benchmark is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    pairs: paired runs, of which the median counts. threads: of arithmetic, in this process and those it starts.
    batch_size: examples an optimizer step. train_steps: steps of a training run; round_steps: of a site in a round.
    decode_requests: of each task. decode_steps: of training before decoding. adapters: that are averaged.
    matmul: rows and columns of the square matrices whose product the processor's speed is read from.
    """

    pairs: int = 5
    threads: int = 2
    batch_size: int = 16
    train_steps: int = 8
    round_steps: int = 4
    decode_requests: int = 48
    decode_steps: int = 240
    adapters: int = 100
    matmul: int = 2048


def quick_scale(threads: int) -> Scale:
    """Just enough to see that everything runs. The figures mean nothing."""
    return Scale(
        pairs=1,
        threads=threads,
        batch_size=4,
        train_steps=1,
        round_steps=1,
        decode_requests=2,
        decode_steps=1,
        adapters=3,
        matmul=256,
    )
