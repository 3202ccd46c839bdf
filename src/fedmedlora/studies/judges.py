"""What Fed-MedLoRA+ weights a site's adapter by, on dev notes of the sites that train: loss, or loss or F1 by task."""

from __future__ import annotations

from collections.abc import Sequence

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.corpus.document import Document
from fedmedlora.errors import CorpusError
from fedmedlora.studies.evaluate import evaluate
from fedmedlora.studies.families import Family
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.sites import sample_documents
from fedmedlora.training.contract import Validator
from fedmedlora.training.lesson import Judged
from fedmedlora.training.loop import TrainSettings


def check_judge(resident: Resident, family: Family, sites: Sequence[str]) -> None:
    """Raise CorpusError where those sites' dev notes do not hold what `plus.utility` needs."""
    _parts(resident, family, sites)
    if resident.config.plus.utility == "f1":
        validation_documents(resident, sites)


def make_judge(resident: Resident, family: Family, sites: Sequence[str], settings: TrainSettings) -> Validator:
    """The judge that `plus.utility` names, on those sites' dev notes. Raises CorpusError where there is none to use."""
    by_loss = _judge_by_loss(family, _parts(resident, family, sites), settings)
    return _judge_by_f1(resident, family, sites, by_loss) if resident.config.plus.utility == "f1" else by_loss


def _parts(resident: Resident, family: Family, sites: Sequence[str]) -> list[Judged]:
    tasks = resident.config.tasks
    if resident.config.plus.utility == "task-loss":
        return [family.judged(sites, (task,)) for task in tasks]
    return [family.judged(sites, tasks)]


def _judge_by_loss(family: Family, parts: Sequence[Judged], settings: TrainSettings) -> Validator:
    """The mean loss of every part is a cost; the loss is the mean over all of them."""

    def judge(state: AdapterState) -> Verdict:
        family.learner.write(state)
        sums = [part(settings) for part in parts]
        whole = sum(found.nats for found in sums) / sum(found.target_tokens for found in sums)
        return Verdict(whole, tuple(found.mean for found in sums))

    return judge


def _judge_by_f1(resident: Resident, family: Family, sites: Sequence[str], by_loss: Validator) -> Validator:
    """A cost for every task that the notes hold something of: 1 − strict F1 over all of them, micro-averaged."""
    documents = validation_documents(resident, sites)

    def judge(state: AdapterState) -> Verdict:
        # This puts the adapter into the model, and the decoder reads it there.
        loss = by_loss(state).loss
        with autocast(resident.config.training.bf16):
            done = evaluate(documents, family.questions, family.answers, resident.config.tasks)
        found = [scores.of(task).strict for task, scores in done.scores.items()]
        # Whether there is gold is a matter of the notes, so every adapter has the same costs.
        return Verdict(loss, tuple(1.0 - (score.f1 or 0.0) for score in found if score.gold))

    return judge


def validation_documents(resident: Resident, sites: Sequence[str]) -> list[Document]:
    """The dev documents of some sites that the utility 'f1' marks. Raises CorpusError where they hold no entity."""
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
