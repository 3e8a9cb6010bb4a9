"""Periodic tasks: when their runs are due, and what becomes of each, as a pure decision."""
