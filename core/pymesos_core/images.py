"""References of OCI images, as people and jobs write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pymesos_core.text import quoted

# What begins so is on the agent's own disk, or nothing: `oci:5000/x` might also be of a host.
_LOCAL = ("oci:", "oci-archive:", "docker-archive:")
MAX_CHARACTERS = 1024

# As distribution has them (github.com/distribution/reference): [host[:port]/]path[:tag][@digest].
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?")
_ON_DISK = re.compile(r"(?:oci|oci-archive|docker-archive):/[A-Za-z0-9._/:@+-]*")


def image_problem(reference: str) -> str | None:
    """Why a text is no reference of an image, or None."""
    grammar = _ON_DISK if reference.startswith(_LOCAL) else _REFERENCE
    if len(reference) <= MAX_CHARACTERS and grammar.fullmatch(reference):
        return None
    hint = ""
    if (lowered := reference.lower()) != reference and grammar.fullmatch(lowered):
        hint = f"; names of images are lower case: {lowered}"
    return (
        f"{quoted(reference)} is no reference of an image; expected:"
        f" [registry/]name[:tag][@digest], as in python:3.12 or registry.example/team/app:1.0{hint}"
    )


def is_on_disk(reference: str) -> bool:
    """Whether an image is on the agent's own disk: of no registry, and unknown to engines."""
    return _ON_DISK.fullmatch(reference) is not None


def full_name(reference: str) -> str:
    """With its registry: `nginx` is `docker.io/library/nginx`."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def image_refusal(reference: str, allowed: Sequence[str]) -> str | None:
    """Why an image may not be run, or None; `allowed` are beginnings of full names of those of
    registries, none of them: all.
    """
    if problem := image_problem(reference):
        return problem
    full = full_name(reference)
    if is_on_disk(reference) or not allowed or full.startswith(tuple(allowed)):
        return None
    return (
        f"images of {full} are not among those that this agent allows ({', '.join(allowed)}:"
        f" --allow-images)"
    )
