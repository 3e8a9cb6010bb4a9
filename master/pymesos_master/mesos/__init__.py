"""Apache Mesos' v1 HTTP API, for frameworks written for Mesos: a translation at the edge."""
