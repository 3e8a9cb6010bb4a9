"""All systems that can be compared, by the names that `--peers` takes."""

from __future__ import annotations

from peering.bare import Bare
from peering.interface import Peer
from peering.on_dask import Dask
from peering.on_hyperqueue import HyperQueue
from peering.on_pymesos import Pymesos
from peering.on_ray import Ray
from peering.on_slurm import Slurm
from peering.on_swarm import Swarm

SYSTEMS: dict[str, type[Peer]] = {
    "us": Pymesos,
    "ray": Ray,
    "dask": Dask,
    "hyperqueue": HyperQueue,
    "slurm": Slurm,
    "swarm": Swarm,
    "bare": Bare,
}
