"""Before the first round: which nodes are which sites, and how many tokens each brings."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from flwr.serverapp import Grid

from fedmedlora.errors import ConfigError, EnvironmentProblem, FedMedLoRAError
from fedmedlora.federation import wire
from fedmedlora.federation.exchange import Reply, exchange
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.training.contract import SiteRegistration

_log = logging.getLogger(__name__)

_PAUSE_S = 0.2


@dataclass(frozen=True)
class Enrolment:
    """Registered sites by node id, in sorted order of their names, and why others take no part, by site (or node)."""

    nodes: Mapping[int, SiteRegistration]
    left_out: Mapping[str, str]

    @property
    def registrations(self) -> tuple[SiteRegistration, ...]:
        """What sites registered, in sorted order of their names."""
        return tuple(self.nodes.values())


def enrol_sites(grid: Grid, plan: FederationPlan, base_digest: str) -> Enrolment:
    """Ask every node to register, and check what it says.

    Raises ConfigError, with every site's reason, when fewer sites than the plan needs can take part or when two nodes
    register under one name; EnvironmentProblem when no node connects in time.
    """
    found: dict[int, SiteRegistration] = {}
    left_out: dict[str, str] = {}
    nodes = _wait_for_nodes(grid, len(plan.sites), plan.timeouts.nodes_s)
    for reply in exchange(grid, nodes, wire.pack_request(), wire.REGISTER, "registration", plan.timeouts.register_s):
        registration = _read(reply, plan, base_digest, left_out)
        if registration is None:
            continue
        if registration.site in {known.site for known in found.values()}:
            raise ConfigError(f"two nodes registered as site '{registration.site}'. Give each site its own name.")
        found[reply.node_id] = registration
    taken = {known.site for known in found.values()}
    left_out |= {site: "it did not register" for site in plan.sites if site not in taken and site not in left_out}
    for name, reason in sorted(left_out.items()):
        _log.warning("%s takes no part: %s", name, reason)
    if len(found) < plan.needed_sites:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
        raise ConfigError(f"{len(found)} of the {plan.needed_sites} sites needed have registered. {reasons}")
    return Enrolment(dict(sorted(found.items(), key=lambda pair: pair[1].site)), left_out)


def check_same_sites(before: tuple[SiteRegistration, ...], now: Enrolment) -> Enrolment:
    """The sites of `now` that were there before, for a federation that goes on.

    Raises ConfigError when one of them registers other counts, another base or other data than when it began.
    """
    known = {registration.site: registration for registration in before}
    left_out = dict(now.left_out)
    nodes: dict[int, SiteRegistration] = {}
    for node, registration in now.nodes.items():
        if registration.site not in known:
            left_out[registration.site] = "it was not there when the federation began"
        elif registration != known[registration.site]:
            raise ConfigError(
                f"site '{registration.site}' now registers {registration.examples} examples with "
                f"{registration.target_tokens} target tokens, or other data of that size; when the federation began it "
                f"had {known[registration.site].examples} with {known[registration.site].target_tokens}. "
                "Restore its data and settings to resume, or start anew."
            )
        else:
            nodes[node] = registration
    return Enrolment(nodes, left_out)


def _read(reply: Reply, plan: FederationPlan, base_digest: str, left_out: dict[str, str]) -> SiteRegistration | None:
    """One node's registration; None, with the reason added to `left_out`, for a node that cannot take part."""
    node = f"node {reply.node_id}"
    if reply.content is None:
        left_out[node] = reply.problem or "no reply"
        return None
    failure = wire.unpack_failure(reply.content)
    if failure is not None:
        left_out[failure.site or node] = str(failure)
        return None
    try:
        registration = wire.unpack_registration(reply.content)
    except FedMedLoRAError as error:
        left_out[node] = str(error)
        return None
    if registration.site not in plan.sites:
        left_out[registration.site] = f"it is not a site of this federation ({', '.join(plan.sites)})"
    elif registration.base_digest != base_digest:
        left_out[registration.site] = (
            f"it holds another base model ({registration.base_digest[:12]}…) than the initial adapter belongs to "
            f"({base_digest[:12]}…)"
        )
    else:
        return registration
    return None


def _wait_for_nodes(grid: Grid, wanted: int, timeout_s: float) -> list[int]:
    """Node ids, as soon as there are `wanted` of them or the time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        nodes = sorted(grid.get_node_ids())
        if len(nodes) >= wanted:
            return nodes
        if time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE_S)
    if not nodes:
        raise EnvironmentProblem(
            f"no site connected within {timeout_s:g} s. Start the sites, and check address and port."
        )
    return nodes
