"""Version 1 of the contract (proto package `pymesos.v1`)."""
