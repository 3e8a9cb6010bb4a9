"""The deciding half of the agent: `AgentCore.step(now, event) -> effects`, without any I/O."""

from pymesos_agent.core.agent import AgentCore, Config, RecoveryError

__all__ = ["AgentCore", "Config", "RecoveryError"]
