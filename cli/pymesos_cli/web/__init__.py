"""The web page of a cluster, as whoever runs the command."""
