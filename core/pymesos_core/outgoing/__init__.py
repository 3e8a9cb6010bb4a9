"""What a role tells others unasked: who is told, in which form, until it is taken."""
