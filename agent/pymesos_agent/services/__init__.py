"""The gRPC services of an agent. They translate, and nothing else."""
