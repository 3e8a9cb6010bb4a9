"""Version 1 of it (proto packages `pymesos.mesos.v1` and `pymesos.mesos.v1.scheduler`)."""
