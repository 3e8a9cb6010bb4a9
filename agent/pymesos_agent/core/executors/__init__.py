"""Executors on an agent: containers of frameworks that run several tasks."""
