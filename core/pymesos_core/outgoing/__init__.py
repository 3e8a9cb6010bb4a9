"""What a role tells others of its own accord: who is told, in which form, until it is taken."""
