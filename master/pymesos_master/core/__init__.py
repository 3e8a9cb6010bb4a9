"""The deciding half of the master: `MasterCore.step(now, event) -> effects`, without any I/O."""

from pymesos_master.core.master import MasterCore
from pymesos_master.core.state import Config

__all__ = ["Config", "MasterCore"]
