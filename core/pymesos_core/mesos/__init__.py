"""Messages of Apache Mesos: their encodings, and what they are to us, for master and agent."""

VERSION = "1.12.0"  # the one of Mesos whose API this is
