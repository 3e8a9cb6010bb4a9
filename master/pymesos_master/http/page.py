"""The web page: its files, from memory, which anybody may read. What it shows it asks of `/v1`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from pymesos_master.http.answering import Answer, refusal

FOLDER = Path(__file__).with_name("web")
MOST_BYTES = 200 * 1024  # of all files together
# The first part of an address that the page shows something at; the page itself knows the rest.
VIEWS = frozenset(
    {
        *("", "jobs", "tasks", "agents", "frameworks", "fairness", "variables", "alerts"),
        *("events", "whatif"),
    }
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
METHODS = ("GET", "HEAD")
API = "/v1/"  # which is answered as programs read it, whoever asks
FOREVER = "public, max-age=31536000, immutable"
PRELOADS = "<!-- preloads -->"  # where the first file names the modules
# Nothing from elsewhere, no text that becomes code, and in no frame.
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class _File:
    body: bytes
    headers: Mapping[str, str]


class Page:
    """The files, each at an address with the hash of all: a new version has new addresses."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        self.bytes = sum(map(len, found.values()))
        first = found.pop("index.html")
        digest = hashlib.sha256(first)
        for name, body in found.items():
            digest.update(f"{name}\0{len(body)}\0".encode() + body)
        self.hash = digest.hexdigest()[:16]
        base = f"/assets/{self.hash}/"
        self._files = {base + name: _file(name, body, FOREVER) for name, body in found.items()}
        text = first.decode().replace("/assets/", base).replace(PRELOADS, _preloads(base, found))
        self._first = _file("index.html", text.encode(), "no-cache", self.hash)

    def answer(self, method: str, target: str, if_none_match: str = "") -> Answer | None:
        """The answer to who asks for a file, or for something to look at; None: for others."""
        path = target.partition("?")[0]
        file = self._files.get(path)
        if file is None and _is_view(path):
            file = self._first
        if file is None:
            if not path.startswith("/assets/"):
                return None
            told = "there is no such file; the page is of another version: load it anew"
            return refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", told)
        if method not in METHODS:
            told = "the page is read with GET"
            return refusal(405, "UNIMPLEMENTED", told, {"Allow": ", ".join(METHODS)})
        return self._read(file, if_none_match)

    def nothing(self, method: str, target: str, accept: str) -> Answer | None:
        """The page, which says that nothing is here, for a person with a browser; None: for others.

        It is for addresses that nothing else answers.
        """
        if method not in METHODS or "text/html" not in accept or target.startswith(API):
            return None
        return Answer(HTTPStatus.NOT_FOUND, self._first.body, self._first.headers)

    def _read(self, file: _File, if_none_match: str) -> Answer:
        if file.headers["ETag"] in (tag.strip() for tag in if_none_match.split(",")):
            return Answer(HTTPStatus.NOT_MODIFIED, b"", file.headers)
        return Answer(HTTPStatus.OK, file.body, file.headers)


def _is_view(path: str) -> bool:
    """Whether the page shows something there: `//HOST` is an address of elsewhere to browsers."""
    return path.startswith("/") and not path.startswith("//") and path.split("/")[1] in VIEWS


def _file(name: str, body: bytes, caching: str, tag: str = "") -> _File:
    tag = tag or hashlib.sha256(body).hexdigest()[:16]
    own = {
        "Content-Type": TYPES[Path(name).suffix],
        "Cache-Control": caching,
        "ETag": f'"{tag}"',
    }
    return _File(body, HEADERS | own)


def _preloads(base: str, names: Iterable[str]) -> str:
    """Links by which a browser fetches all modules at once, and not each when another names it."""
    modules = (name for name in names if name.endswith(".js") and name != "theme.js")
    return "\n".join(f'<link rel="modulepreload" href="{base}{name}">' for name in modules)
