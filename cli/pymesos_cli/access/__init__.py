"""The policy, the audit, and secrets."""
