"""What Mesos' operators and their tools ask of an agent: its tasks, what they use, their files."""
