"""What is started on each node of a run, in the words of a shell. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from modeltest.api import RunSpec
from modeltest.cluster.place import Place, local_size_of, node_variables, place_of
from modeltest.cluster.rank_table import RankTable
from modeltest.machine.ports import PORT_VARIABLE
from modeltest.machine.rank_messages import SECRET_VARIABLE
from modeltest.start import start_words

WORKER_MODULE = "modeltest.run.worker.worker"
TORCHRUN = "torch.distributed.run"

DIRECTORY = "RUN_DIRECTORY"
"""Stands for the directory that the run makes on each node."""


def torchrun_words(place: Place, directory: str) -> list[str]:
    """Return the words after `torchrun` that start the ranks of one node."""
    options = {
        "--nnodes": place.nodes,
        "--node_rank": place.node,
        "--master_addr": place.master_address,
        "--master_port": place.port,
        "--nproc_per_node": place.local_size,
        "--max_restarts": 0,
    }
    words = [word for name, value in options.items() for word in (name, str(value))]
    return [*words, *start_words(WORKER_MODULE, directory)]


def launch_lines(
    spec: RunSpec,
    table: RankTable,
    variables: Mapping[str, str],
    *,
    words: Callable[[RunSpec], Sequence[str] | None],
    drawn_secret: str | None,
) -> Iterator[str]:
    """Yield what is to be typed on each node, and what that starts there.

    `words` gives those after `run.sh` for a spec, or `None` when it has none; `variables` are this shell's.
    `drawn_secret` is for all nodes; `None`: the user has set one, which is not for the screen.
    """
    cluster = spec.cluster
    assert cluster is not None
    for node, server in enumerate(table.servers):
        there = replace(spec, cluster=replace(cluster, rank_start=node * local_size_of(spec)))
        place = place_of(there, variables)
        assert place is not None
        yield f"node {node} of {cluster.nodes}, {server.address}:"
        typed = words(there)
        if typed is not None:
            given = {SECRET_VARIABLE: drawn_secret, PORT_VARIABLE: variables.get(PORT_VARIABLE)}
            setting = "".join(f"{name}={shlex.quote(value)} " for name, value in given.items() if value)
            yield f"  type    {setting}{shlex.join(['bash', 'run.sh', *typed])}"
        settings = [
            f"{name}={shlex.quote(value)}" for name, value in node_variables(there, table, variables).items()
        ]
        launcher = ["torchrun"] if spec.engine_python is None else [spec.engine_python, "-m", TORCHRUN]
        torchrun = shlex.join([*launcher, *torchrun_words(place, DIRECTORY)])
        yield f"  starts  {' '.join([*settings, torchrun])}"
    if drawn_secret is None:
        yield f"{SECRET_VARIABLE} is set here and not shown: set it to the same on every node"
