"""What Fed-MedLoRA+ weights a site's adapter by, on dev notes of the sites that train: loss, or loss or F1 by task."""

from __future__ import annotations

from collections.abc import Sequence

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.corpus.document import Document
from fedmedlora.errors import CorpusError
from fedmedlora.studies.evaluate import evaluate
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.sites import sample_documents
from fedmedlora.training.batch import Corpus
from fedmedlora.training.contract import Validator
from fedmedlora.training.loop import TrainSettings
from fedmedlora.training.site import make_parts_validator


def check_judge(resident: Resident, sites: Sequence[str]) -> None:
    """Raise CorpusError where those sites' dev notes do not hold what `plus.utility` needs."""
    _parts(resident, sites)
    if resident.config.plus.utility == "f1":
        _validation_documents(resident, sites)


def make_judge(resident: Resident, sites: Sequence[str], settings: TrainSettings) -> Validator:
    """The judge that `plus.utility` names, on those sites' dev notes. Raises CorpusError where there is none to use."""
    by_loss = make_parts_validator(resident.adapted, _parts(resident, sites), settings)
    return _judge_by_f1(resident, sites, by_loss) if resident.config.plus.utility == "f1" else by_loss


def _parts(resident: Resident, sites: Sequence[str]) -> list[Corpus]:
    tasks = resident.config.tasks
    if resident.config.plus.utility == "task-loss":
        return [resident.judged(sites, (task,)) for task in tasks]
    return [resident.judged(sites, tasks)]


def _judge_by_f1(resident: Resident, sites: Sequence[str], by_loss: Validator) -> Validator:
    """A cost for every task that the notes hold something of: 1 − strict F1 over all of them, micro-averaged."""
    documents = _validation_documents(resident, sites)

    def judge(state: AdapterState) -> Verdict:
        # This puts the adapter into the model, and the decoder reads it there.
        loss = by_loss(state).loss
        with autocast(resident.config.training.bf16):
            done = evaluate(documents, resident.encoder, resident.decoder, resident.config.tasks)
        found = [scores.of(task).strict for task, scores in done.scores.items()]
        # Whether there is gold is a matter of the notes, so every adapter has the same costs.
        return Verdict(loss, tuple(1.0 - (score.f1 or 0.0) for score in found if score.gold))

    return judge


def _validation_documents(resident: Resident, sites: Sequence[str]) -> list[Document]:
    most = resident.config.plus.validation_documents
    found = [
        document for site in sites for document in sample_documents(resident.sites[site].parts["dev"], most, seed=0)
    ]
    if not any(document.entities for document in found):
        raise CorpusError(
            f"plus.utility = 'f1' marks dev documents, but those of {', '.join(sites)} hold no entity. Give one of "
            "them a dev part, raise plus.validation_documents, or weight by loss."
        )
    return found
