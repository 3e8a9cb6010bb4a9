"""The deciding half of the agent: `AgentCore.step(now, event) -> effects`, without any I/O."""

from pymesos_agent.core.agent import AgentCore
from pymesos_agent.core.context import Config
from pymesos_agent.core.recovery import RecoveryError

__all__ = ["AgentCore", "Config", "RecoveryError"]
