"""Where the actors of a job are, asked of a cluster's head node from outside: nothing of the job knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions

ALIVE = "ALIVE"


@dataclass(frozen=True)
class Seen:
    """An actor of one of a job's pools."""

    operator: str
    state: str
    """As Ray names it: PENDING_CREATION, ALIVE, RESTARTING, DEAD."""
    node: str
    """Hex id; that of another node, or of none, while it is not alive."""


class Head:
    """A connection to the head node of a cluster that is no driver."""

    def __init__(self, address: str) -> None:
        self._state: Any = GlobalState()
        options = GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
        self._state._initialize_global_state(options)

    def actors(self) -> list[Seen]:
        """Those of operators, the dead ones among them."""
        found = []
        for actor in self._state.actor_table(None).values():
            name = actor["ActorClassName"]
            if "MapBatches(" in name:
                operator = name.partition("MapBatches(")[2].partition(")")[0].lower()
                found.append(Seen(operator, actor["State"], actor["Address"]["NodeID"]))
        return found

    def alive(self, operator: str) -> int:
        """How many actors of an operator there are."""
        return sum(actor.state == ALIVE for actor in self.actors() if actor.operator == operator)

    def pid(self, operator: str) -> int:
        """The process of the one living actor of an operator."""
        (found,) = [
            actor["Pid"]
            for actor in self._state.actor_table(None).values()
            if f"({operator.capitalize()})" in actor["ActorClassName"] and actor["State"] == ALIVE
        ]
        return int(found)

    def free_gpus(self) -> float:
        """GPUs that nobody has."""
        return sum(free.get("GPU", 0.0) for free in self._state.available_resources_per_node().values())

    def nodes(self) -> dict[str, dict[str, float]]:
        """What each living node offers, by id."""
        return {node["NodeID"]: node["Resources"] for node in self._state.node_table() if node["Alive"]}

    def close(self) -> None:
        self._state.disconnect()
