"""`pymesos-cli`: parse, call, print."""
