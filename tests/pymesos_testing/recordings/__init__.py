"""Recordings of what a real Mesos answered, replayed against a cluster of ours and compared.

`python -m pymesos_testing.recordings DIR…` replays all that a folder holds. Nothing here knows the
name of a recording or of what is in it.
"""
