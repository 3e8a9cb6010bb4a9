"""Alerts of the cluster itself: what is wrong with agents, roles and masters."""
