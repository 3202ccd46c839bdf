"""The peer's federation, as Flower's fine-tuning examples go about it, on the public APIs of flwr, peft and trl.

For every site and round the client app loads the model and the tokenizer, attaches a LoRA, writes the global adapter
into it, makes a trainer, trains, and sends the adapter back; the server app is Flower's own FedAvg. It runs on the same
in-process grid as ours, which spares it Ray and the starting of processes; its notes are tokenised beforehand.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from benchmarks.process import quiet_flower
from benchmarks.sft import SftPlan, TokenExample, load_plain_base, lora_config, make_dataset, make_trainer
from fedmedlora.federation.grid import InProcessGrid

_PARTITION = "partition-id"


@dataclass
class PeerFederation:
    """Every site's examples, how they train, and the sites that have trained in the round under way."""

    sites: Sequence[Sequence[TokenExample]]
    plan: SftPlan
    _trained: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._datasets = [make_dataset(examples) for examples in self.sites]
        self._initial = _fresh_arrays()
        quiet_flower()

    def round(self, sites: int | None = None) -> float:
        """Seconds of one round of Flower's FedAvg over the first so many sites; all, when none are named.

        Raises RuntimeError when a site failed: FedAvg would average the others, and be all the faster.
        """
        count = len(self.sites) if sites is None else sites
        app = ClientApp()
        app.train()(self._train)
        grid = InProcessGrid(app, [{_PARTITION: place} for place in range(count)])
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=count, min_available_nodes=count)
        self._trained.clear()
        started = time.perf_counter()
        strategy.start(grid=grid, initial_arrays=self._initial, num_rounds=1)
        seconds = time.perf_counter() - started
        if sorted(self._trained) != list(range(count)):
            raise RuntimeError(f"{len(self._trained)} of {count} sites of the peer's federation have trained.")
        return seconds

    def _train(self, message: Message, context: Context) -> Message:
        place = int(context.node_config[_PARTITION])
        dataset = self._datasets[place]
        base, tokenizer = load_plain_base()
        model = get_peft_model(base, lora_config())
        set_peft_model_state_dict(model, message.content.array_records["arrays"].to_torch_state_dict())
        with tempfile.TemporaryDirectory() as folder:
            out = make_trainer(model, tokenizer, dataset, self.plan, folder).train()
        arrays = ArrayRecord(get_peft_model_state_dict(model))
        metrics = MetricRecord({"train_loss": float(out.training_loss), "num-examples": len(dataset)})
        self._trained.append(place)
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def round_in_child(payload: object, loaded: Callable[[], None]) -> Mapping[str, float]:
    """One round for `benchmarks.child`. payload: every site's examples, and the plan."""
    sites, plan = cast("tuple[list[list[TokenExample]], SftPlan]", payload)
    federation = PeerFederation(sites, plan)
    loaded()
    return {"seconds": federation.round()}


def _fresh_arrays() -> ArrayRecord:
    """An untrained adapter, as Flower holds it."""
    base, _ = load_plain_base()
    return ArrayRecord(get_peft_model_state_dict(get_peft_model(base, lora_config())))
