"""Commands that name clusters, and choose which of them is meant."""
