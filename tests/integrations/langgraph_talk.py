"""A conversation on LangGraph with a local model, in processes that are killed again and again.

    python -m tests.integrations.langgraph_talk sqlite:///talk.db 7 40

Each of 40 processes is killed by SIGKILL before or after an operation of its KV that seed 7 draws;
the next one goes on. Prints how many were killed and what was said.
"""

# langgraph is typed, and not all of its parts say so
# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import base64
import json
import operator
import os
import random
import signal
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from kvcodec import AESGCMCipher, KeyRing, open_kv
from kvcodec.integrations.langgraph import KVSaver
from kvcodec.plans.driver import Plan
from kvcodec.testing import FaultyKV
from kvcodec.testing.faulty.world import Arguments, Fault, World

RING = KeyRing(base64.urlsafe_b64encode(bytes(range(32))))
"""The same in every process. It has no secrets."""

TURNS = 5
FARTHEST = 40
"""Operations of a KV that a process does at most before it is killed; a turn takes some 30."""

CONFIG: Any = {"configurable": {"thread_id": "ada"}}


class Kill(Fault, frozen=True):
    """SIGKILL, before or after the operation."""

    after: bool

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """End the process."""
        if self.after:
            yield from world.apply(method, arguments)
        os.kill(os.getpid(), signal.SIGKILL)


class State(TypedDict):
    """What is remembered: added to, never replaced, so that what is done twice shows."""

    said: Annotated[list[str], operator.add]


def look_up(state: State) -> State:
    """Answer as a tool."""
    return {"said": [f"tool: facts on {state['said'][-1]}"]}


def recall(state: State) -> State:
    """Answer as another tool, at the same time."""
    return {"said": [f"memory of {state['said'][-1]}"]}


def answer(state: State) -> State:
    """Answer as the model, by its script."""
    return {"said": [f"model: answer {len(state['said'])}"]}


def graph_on(kv: Any) -> Any:
    """Return the graph, with its checkpoints in a KV."""
    builder: Any = StateGraph(State)
    for node in (look_up, recall):
        builder.add_node(node.__name__, node)
        builder.add_edge(START, node.__name__)
    builder.add_node("answer", answer)
    builder.add_edge(["look_up", "recall"], "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=KVSaver(kv, cipher=AESGCMCipher(RING)))


def talk(kv: Any) -> list[str]:
    """Say what is left to say; return what was said in all."""
    graph = graph_on(kv)
    for number in range(TURNS):
        state = graph.get_state(CONFIG)
        if state.tasks:  # a turn that was cut off; `next` has only tasks that wrote nothing yet
            graph.invoke(None, CONFIG, durability="sync")
            state = graph.get_state(CONFIG)
        if f"user: {number}" not in state.values.get("said", []):
            graph.invoke({"said": [f"user: {number}"]}, CONFIG, durability="sync")
    said: list[str] = graph.get_state(CONFIG).values["said"]
    return said


def was_killed(url: str, chance: random.Random) -> bool:
    """Let a process of its own talk until it is killed; say whether it was."""
    faults = [*[None] * chance.randrange(FARTHEST), Kill(chance.random() < 0.5)]
    child = os.fork()
    if not child:
        with open_kv(url) as kv:
            talk(FaultyKV(kv, faults))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    where, seed, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    drawn = random.Random(seed)
    killed = sum([was_killed(where, drawn) for _ in range(processes)])
    with open_kv(where) as opened:
        sys.stdout.write(json.dumps({"killed": killed, "said": talk(opened)}))
