"""The same work on other systems; used by peers.py.

Each system has a module, whose class is a `Peer`. It is driven by a process of the Python in which
the system is installed (`__main__.py`), below a warden (`warden.py`) which leaves nothing of it.
These modules import nothing but the standard library until they start.
"""
