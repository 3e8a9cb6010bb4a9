"""Discovery: what serves is found by name, by DNS.

`held` has what leaders have told, `zone` the names of it, `answering` makes an answer of a packet:
none of them does any I/O. `following` hears the leader, and `resolver` the clients.
"""
