"""Commands that make a cluster's certificates: its authority, and what that signs."""
