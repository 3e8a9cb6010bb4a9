"""Mesos' v1 executor API: a translation at the edge, on a listener of its own."""
