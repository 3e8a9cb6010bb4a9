"""Traces of the openb family, drawn from its default trace.

The published family ("Beware of Fragmentation", USENIX ATC'23) has, beside `default`, four kinds of
trace, each of which emphasises some pods. They are made here as they were found to be there:

- `cpuN`: so many CPU-only pods as are N % of the trace's; the others stay.
- `gpushareN`: of what is asked of GPUs, N % is asked by pods that share one; as many pods ask for
  GPUs as before, drawn from those that share and from the others.
- `multigpuN`: pods of several GPUs are added until they ask for N % of all.
- `gpuspecN`: N % of the pods that want GPUs say which models will do, as often this or that as in
  production.

And two that go beyond it: `cpuonlyN`, CPU-only pods are added until they are N % of all pods, and
`manygpuN`, the same with pods of several GPUs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pymesos_binpack.placement.packing import Shape
from pymesos_binpack.placement.packing.pool import Node
from pymesos_binpack.placement.packing.replay import TraceError
from pymesos_core.resource_values import MILLI

# How often which models are asked for in production, by a sample of the published gpuspec33.
SPECS = {
    "T4": 33, "V100M16|V100M32": 13, "G2": 10, "P100": 5, "P100|V100M16|V100M32": 3, "G3": 2,
    "P100|T4|V100M16|V100M32": 2, "G2|P100|T4|V100M16|V100M32": 2,
}  # fmt: skip
Pods = list[Shape]


def _is_shared(pod: Shape) -> bool:
    return 0 < pod.gpus < MILLI


def _is_multi(pod: Shape) -> bool:
    return pod.gpus > MILLI


def _split(pods: Sequence[Shape], belongs: Callable[[Shape], bool]) -> tuple[Pods, Pods]:
    """The pods that belong, and the others."""
    chosen = [pod for pod in pods if belongs(pod)]
    if not chosen:
        raise TraceError("the trace has no pods of the kind of which there are to be more")
    return chosen, [pod for pod in pods if not belongs(pod)]


def _gpus(pods: Sequence[Shape]) -> int:
    return sum(pod.gpus for pod in pods)


def cpu(pods: Pods, nodes: Sequence[Node], percent: int, draw: random.Random) -> Pods:
    """Percent of the CPU-only pods that there are."""
    alone, rest = _split(pods, lambda pod: not pod.gpus)
    return rest + draw.choices(alone, k=len(alone) * percent // 100)


def cpuonly(pods: Pods, nodes: Sequence[Node], percent: int, draw: random.Random) -> Pods:
    """CPU-only pods are percent of all pods."""
    alone, rest = _split(pods, lambda pod: not pod.gpus)
    return rest + draw.choices(alone, k=len(rest) * percent // (100 - percent))


def gpushare(pods: Pods, nodes: Sequence[Node], percent: int, draw: random.Random) -> Pods:
    """Pods that share a GPU ask for percent of all that is asked of GPUs."""
    with_gpus, alone = _split(pods, lambda pod: pod.gpus > 0)
    shared, others = _split(with_gpus, _is_shared)
    # Of n pods x share: x * a / (x * a + (n - x) * b) is the part, a and b being means.
    one, other = _gpus(shared) / len(shared), _gpus(others) / max(1, len(others))
    part = percent / 100
    number = round(len(with_gpus) * part * other / (part * other + (1 - part) * one))
    return (
        alone
        + draw.choices(shared, k=number)
        + draw.choices(others or shared, k=len(with_gpus) - number)
    )


def multigpu(pods: Pods, nodes: Sequence[Node], percent: int, draw: random.Random) -> Pods:
    """Pods of several GPUs ask for percent of all that is asked of GPUs."""
    multi, rest = _split(pods, _is_multi)
    wanted = _gpus(rest) * percent / (100 - percent)
    out: Pods = []
    while _gpus(out) < wanted:
        out.append(draw.choice(multi))
    return rest + out


def manygpu(pods: Pods, nodes: Sequence[Node], percent: int, draw: random.Random) -> Pods:
    """Pods of several GPUs are percent of all pods."""
    multi, rest = _split(pods, _is_multi)
    return rest + draw.choices(multi, k=len(rest) * percent // (100 - percent))


def gpuspec(pods: Pods, nodes: Sequence[Node], percent: int, draw: random.Random) -> Pods:
    """Percent of the pods that want GPUs say which models will do, of those that can run them."""
    out = []
    for pod in pods:
        asks = pod.gpus and draw.random() * 100 < percent
        out.append(replace(pod, models=_models(pod, nodes, draw)) if asks else pod)
    return out


def _models(pod: Shape, nodes: Sequence[Node], draw: random.Random) -> tuple[str, ...]:
    able = {node.model for node in nodes if len(node.gpus) * MILLI >= pod.gpus}
    specs = {
        models: weight
        for text, weight in SPECS.items()
        if not able.isdisjoint(models := tuple(sorted(text.split("|"))))
    }
    return draw.choices([*specs], [*specs.values()])[0] if specs else ()


KINDS: Mapping[str, Callable[[Pods, Sequence[Node], int, random.Random], Pods]] = {
    "cpu": cpu, "cpuonly": cpuonly, "gpushare": gpushare, "gpuspec": gpuspec,
    "manygpu": manygpu, "multigpu": multigpu,
}  # fmt: skip
# Those that were published, and what people tried beside them.
FAMILY = (
    "default", "cpu050", "cpu100", "cpu200", "cpu250", "cpuonly25", "cpuonly35",
    "gpushare40", "gpushare60", "gpushare80", "gpushare100",
    "gpuspec05", "gpuspec10", "gpuspec20", "gpuspec25", "gpuspec33",
    "multigpu20", "multigpu30", "multigpu40", "multigpu50", "manygpu50",
)  # fmt: skip


def of_the_family(name: str, pods: Pods, nodes: Sequence[Node], seed: int) -> Pods:
    """The trace of a name such as `cpu250`; `default` is the one that is given."""
    if name == "default":
        return pods
    found = re.fullmatch(r"([a-z]+)(\d{1,3})", name)
    if found is None or found[1] not in KINDS:
        raise TraceError(f"there is no trace {name!r}; there are default and, with a number for N,"
                         f" {', '.join(f'{kind}N' for kind in KINDS)}")  # fmt: skip
    percent = int(found[2])
    most = 1000 if found[1] == "cpu" else 100 if found[1] in ("gpushare", "gpuspec") else 95
    if percent > most:
        raise TraceError(f"{name}: N is a percentage up to {most}")
    draw = random.Random(f"{name} {seed}")
    return KINDS[found[1]](pods, nodes, percent, draw)
