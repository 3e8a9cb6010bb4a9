"""Helpers of the tests: cores without shells, and real components started on loopback."""
