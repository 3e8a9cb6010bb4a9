"""Mesos' operators' endpoints of a master: `/api/v1`, and those that are older than it."""
