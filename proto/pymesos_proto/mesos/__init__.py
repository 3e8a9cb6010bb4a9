"""Messages of Apache Mesos' HTTP API."""
