"""Rollouts: how the instances of a task become those of another version, as a pure decision."""
