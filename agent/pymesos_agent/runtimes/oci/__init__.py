"""The `oci` runtime: containers by runc, with no daemon."""
