"""Health: asking tasks how they are, and looking after those that take too much."""
