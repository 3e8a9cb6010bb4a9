"""Supervision: the process that outlives the agent, and the agent's end of its socket.

Nothing is imported here: the supervisor is small because it imports the standard library only.
"""
