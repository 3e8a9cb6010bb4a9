"""Tasks on an agent: their launch, life, checks, updates and end."""
