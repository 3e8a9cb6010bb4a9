"""Agents that are cordoned, drained, or planned to be away."""
