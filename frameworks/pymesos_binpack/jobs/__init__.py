"""What jobs want and what became of them."""
