"""What is posted to a master."""

from __future__ import annotations

QUOTA = {"role": "eng", "limits": {"cpus": 2}}
