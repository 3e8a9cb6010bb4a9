"""The files of the web page, and how they are answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pymesos_master.http.page import FOLDER, MOST_BYTES, TYPES, VIEWS, Page

PAGE = Page()
SCRIPTS = sorted(FOLDER.rglob("*.js"))


def assets() -> list[str]:
    """The addresses of all files but the first."""
    return [
        f"/assets/{PAGE.hash}/{path.relative_to(FOLDER).as_posix()}"
        for path in FOLDER.rglob("*")
        if path.suffix in TYPES and path.name != "index.html"
    ]


def test_every_view_is_the_page() -> None:
    first = PAGE.answer("GET", "/")
    assert first is not None and first.status == 200
    assert first.headers["Content-Type"] == "text/html; charset=utf-8"
    assert first.headers["Cache-Control"] == "no-cache"
    for target in ("/agents", "/agents/a%2Fb", "/tasks/F/t.0?search=x", "/fairness", "/?a=b"):
        assert PAGE.answer("GET", target) == first, target


def test_other_addresses_are_not_its_own() -> None:
    for target in ("/v1/agents", "/health", "/agent", "/v1/../agents", "agents", "*", ""):
        assert PAGE.answer("GET", target) is None, target


def test_a_person_who_mistypes_is_shown_the_page() -> None:
    first = PAGE.answer("GET", "/")
    assert first is not None
    found = PAGE.nothing("GET", "/job/web", "text/html,application/xhtml+xml,*/*;q=0.8")
    assert found is not None
    assert (found.status, found.body, found.headers) == (404, first.body, first.headers)
    for method, target, accept in (
        ("POST", "/job", "text/html"), ("GET", "/v1/job", "text/html"), ("GET", "/job", "*/*"),
    ):  # fmt: skip
        assert PAGE.nothing(method, target, accept) is None, target


def test_nothing_from_elsewhere_and_no_text_becomes_code() -> None:
    first = PAGE.answer("GET", "/")
    assert first is not None
    policy = first.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for path in FOLDER.rglob("*.*"):
        text = path.read_text("utf-8")
        urls = set(re.findall(r"https?://[^\s\"'`)>]+", text))
        assert urls <= {"http://www.w3.org/2000/svg"}, path
        sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert not re.search(sinks, text), path
        assert not re.search(r"\sstyle=|\son[a-z]+=\"", text), path


def test_files_are_kept_for_good_by_their_addresses() -> None:
    for target in assets():
        answer = PAGE.answer("GET", target)
        assert answer is not None and answer.status == 200, target
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"] == TYPES[Path(target).suffix]


@pytest.mark.parametrize(
    "name", ["none.js", "../page.py", "%2e%2e/page.py", "index.html", "", "views", "main.js/"]
)
def test_only_known_files_are_answered(name: str) -> None:
    answer = PAGE.answer("GET", f"/assets/{PAGE.hash}/{name}")
    assert answer is not None and answer.status == 404 and b"load it anew" in answer.body


def test_a_file_of_another_version_is_not_answered() -> None:
    answer = PAGE.answer("GET", "/assets/0123456789abcdef/main.js")
    assert answer is not None and answer.status == 404


def test_another_file_gives_all_another_address(tmp_path: Path) -> None:
    for name, text in (("index.html", "<!-- preloads -->"), ("a.js", "1"), ("theme.js", "")):
        (tmp_path / name).write_text(text, "utf-8")
    before = Page(tmp_path)
    first = before.answer("GET", "/")
    assert first is not None
    assert first.body == f'<link rel="modulepreload" href="/assets/{before.hash}/a.js">'.encode()
    (tmp_path / "a.js").write_text("2", "utf-8")
    assert Page(tmp_path).hash != before.hash


def test_who_has_it_is_not_sent_it_again() -> None:
    for target in ("/", assets()[0]):
        whole = PAGE.answer("GET", target)
        assert whole is not None
        tag = whole.headers["ETag"]
        again = PAGE.answer("GET", target, f'"other", {tag}')
        assert again is not None and (again.status, again.body) == (304, b"")
        assert again.headers["ETag"] == tag
        changed = PAGE.answer("GET", target, '"other"')
        assert changed is not None and changed.status == 200


def test_it_is_read_only() -> None:
    answer = PAGE.answer("POST", "/agents")
    assert answer is not None and answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_it_is_small() -> None:
    assert 20_000 < PAGE.bytes <= MOST_BYTES


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_scripts_import_is_there(path: Path) -> None:
    for name in re.findall(r"^import .* from \"(.*)\";$", path.read_text("utf-8"), re.MULTILINE):
        assert name.startswith("."), name
        assert (path.parent / name).resolve() in SCRIPTS, name


def test_the_page_shows_something_at_each_address() -> None:
    named = set(re.findall(r'^  \["([a-z]*)", "[A-Z]', (FOLDER / "main.js").read_text(), re.M))
    assert named == VIEWS


def test_what_browsers_take_for_another_host_is_no_view() -> None:
    """Links that a page makes of such an address of its own would lead there."""
    for target in ("//", "//evil.example/", "//evil.example/?sort=id", "///agents"):
        assert PAGE.answer("GET", target) is None, target
