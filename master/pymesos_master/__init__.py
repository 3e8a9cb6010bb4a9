"""The master: who is offered what, and what became of it."""
