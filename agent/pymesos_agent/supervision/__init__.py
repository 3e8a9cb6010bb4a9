"""Supervision: the process that outlives the agent, and the agent's end of its socket.

That process is supervisor.py, with what it names. The agent's end are supervised.py, which a
runtime has, supervisor_link.py and pipes.py. Both import protocol.py.

Nothing is imported here: the supervisor is small because it imports the standard library only.
"""
