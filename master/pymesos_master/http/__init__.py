"""HTTP: it translates between JSON and the calls of operators, and decides nothing."""
