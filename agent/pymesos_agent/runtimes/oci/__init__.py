"""The `oci` runtime: containers by crun or runc, with no daemon."""
