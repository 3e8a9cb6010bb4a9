"""The agent: one machine's resources, its containers, its updates."""
