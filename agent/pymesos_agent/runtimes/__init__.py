"""Runtimes: what starts and ends containers. One interface, one module for each."""
