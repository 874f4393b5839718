"""The parallel degrees MindIE takes, held against what its mapping demands before minutes of loading. Pure.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/atb_llm/utils/mapping.py and examples/run_pa.py.
"""

from __future__ import annotations

from dataclasses import asdict

from engines.mindie.environment import is_timed
from modeltest.api import RunSpec, SpecError


def check_degrees(spec: RunSpec) -> None:
    """Refuse degrees that do not come out as the chips, or do not go together.

    Raises: SpecError that says what was given and what must hold.
    """
    world = spec.world_size
    given = {name: value for name, value in asdict(spec.parallel).items() if value > 0}
    one = {name: given.get(name, 1) for name in ("dp", "cp", "pp")}
    if one["dp"] > 1 and (one["pp"] > 1 or one["cp"] > 1):
        other = "pp" if one["pp"] > 1 else "cp"
        raise SpecError(
            f"dp {one['dp']} and {other} {one[other]} do not go together in MindIE: leave one at 1"
        )
    if one["pp"] > 1 and one["cp"] > 1:
        raise SpecError(f"pp {one['pp']} and cp {one['cp']} do not go together in MindIE: leave one at 1")
    rest = one["dp"] * one["cp"] * one["pp"]
    tp = given.get("tp", max(world // rest, 1))
    if tp * rest != world:
        factors = ["tp", *(name for name, value in one.items() if value > 1)]
        product = " * ".join(f"{name} {tp if name == 'tp' else one[name]}" for name in factors)
        raise SpecError(f"{product} is {tp * rest}, the words ask for {world} chips: they must be the same")
    if given.get("sp", 1) not in (1, tp):
        raise SpecError(f"sp {given['sp']} must be 1 or equal to tp, which is {tp}")
    _check_experts(given.get("moe_tp"), given.get("moe_ep"), world)
    _check_microbatch(spec)


def check_pipeline(spec: RunSpec) -> None:
    """Refuse pipeline parallelism where MindIE's files do not tell what is asked.

    Its last rank writes logits and ids, and its times are zeros.

    Raises: SpecError: no other engine has what these words ask for.
    """
    pp = spec.parallel.pp
    if pp <= 1:
        return
    if is_timed(spec):
        raise SpecError(
            f"pp {pp}: with pipeline parallelism MindIE writes zeros for its times, so that {spec.mode} "
            "cannot be measured; leave pp at 1, or ask questions (accuracy runs)"
        )
    if spec.cluster is not None and spec.cluster.nodes > 1:
        raise SpecError(
            f"pp {pp} on {spec.cluster.nodes} nodes: the last rank writes the logits, on another node than "
            "the one that reads them; give tp alone, or one node"
        )


def _check_experts(moe_tp: int | None, moe_ep: int | None, world: int) -> None:
    known = {name: value for name, value in (("moe_tp", moe_tp), ("moe_ep", moe_ep)) if value is not None}
    product = 1
    for value in known.values():
        product *= value
    if (len(known) == 2 and product != world) or world % product:
        said = " * ".join(f"{name} {value}" for name, value in known.items())
        raise SpecError(f"{said} must come out as the {world} chips that the words ask for")


def _check_microbatch(spec: RunSpec) -> None:
    microbatch = spec.parallel.microbatch
    smallest = min((size for sizes in spec.batch_sizes for size in sizes), default=None)
    if smallest is not None and microbatch > smallest:
        raise SpecError(
            f"microbatch {microbatch} is more than the batch size {smallest}; give 1 to {smallest}, or -1"
        )
