"""What is wrong with an image that could not be fetched: whether waiting may help.

Docker's engine and skopeo say it in text alone, so here is the one place that reads that text.
What leaves the agent is a value.
"""

from __future__ import annotations

import re

from pymesos_proto.v1 import types_pb2 as pb

_REFUSED = re.compile(
    r"not found|unknown|does not exist|denied|unauthorized|forbidden|\b40[134]\b", re.IGNORECASE
)
_UNAVAILABLE = re.compile(
    r"timed? ?out|timeout|takes longer than|too ?many ?requests|\b429\b|\b5[0-9]{2}\b|refused"
    r"|unreachable|temporar|no such host|reset by peer",
    re.IGNORECASE,
)


def trouble_with_image(said: str) -> pb.ImageTrouble:
    """Return what a tool's words about a fetch mean; unspecified if they tell neither."""
    if _UNAVAILABLE.search(said):  # first: a proxy may say 503 of a manifest that is unknown to it
        return pb.IMAGE_UNAVAILABLE
    return pb.IMAGE_REFUSED if _REFUSED.search(said) else pb.IMAGE_TROUBLE_UNSPECIFIED
