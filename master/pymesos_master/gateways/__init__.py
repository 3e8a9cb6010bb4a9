"""Gateways: processes that hold the streams of agents, frameworks and operators for a master.

A gateway terminates TLS and gRPC of its peers, on the master's own port, and passes each of their
messages on as it is, over one stream to the master (`gateways.proto`). What a message means, and
who may say it, only the master decides.
"""
