"""Files of tasks: their sandboxes, what they wrote, and what they wanted fetched."""
