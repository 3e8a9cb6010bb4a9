"""`variables`: values that jobs of a role share."""
