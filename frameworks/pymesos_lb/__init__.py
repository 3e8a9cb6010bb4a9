"""`pymesos-lb`: HAProxy in front of the tasks that jobs expose."""
