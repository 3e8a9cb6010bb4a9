"""`migrate`: what a cluster of Apache Mesos uses, and what becomes of it here."""
