"""Who leads: contender and detector, each with a standalone and a ZooKeeper implementation."""

from pymesos_core.coordination.interface import (
    Contender,
    CoordinationError,
    Detector,
    MasterInfo,
    Registry,
    RegistryError,
    StaleEpochError,
    Term,
    read_epoch,
)

__all__ = [
    "Contender",
    "CoordinationError",
    "Detector",
    "MasterInfo",
    "Registry",
    "RegistryError",
    "StaleEpochError",
    "Term",
    "read_epoch",
]
