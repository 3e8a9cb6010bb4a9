"""`backup` and `restore`: what a cluster was told to be, in a file."""
