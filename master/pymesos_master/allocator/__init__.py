"""Who is offered what: the interface, and the DRF allocator behind it."""

from pymesos_master.allocator.drf import DrfAllocator
from pymesos_master.allocator.interface import Allocator, Grant

__all__ = ["Allocator", "DrfAllocator", "Grant"]
