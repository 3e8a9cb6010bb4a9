"""Messages of Apache Mesos: their encodings, and what they are to us, for master and agent."""
