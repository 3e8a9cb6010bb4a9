"""Alerts of jobs: what is wrong, since when, and what is still to be told of it."""
