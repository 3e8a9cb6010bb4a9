"""The `docker` runtime: containers of a Docker or Podman engine."""
