"""The front doors: they translate and nothing else."""
