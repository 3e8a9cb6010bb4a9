"""The gRPC services of a master: they translate between the wire and the core."""
