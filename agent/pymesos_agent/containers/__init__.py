"""Containers: what each of them is and has, whichever runtime made it."""
