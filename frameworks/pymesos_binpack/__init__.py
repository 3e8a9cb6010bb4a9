"""The bin-packing framework: jobs in, tasks packed onto the pool."""
