"""Job files read, checked and made jobs."""
