"""Who may use the proxy of `pymesos-cli web`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from pymesos_cli.cluster import Cluster
from pymesos_cli.web import serving
from pymesos_cli.web.guard import Guard, Refused, is_of, owners
from pymesos_core.contexts import Way

HOST = "127.0.0.1:8000"


@pytest.fixture
def guard() -> Guard:
    return Guard(8000)


def code_of(guard: Guard) -> str:
    return guard.url.removeprefix(f"http://{HOST}")


def signed_in(guard: Guard) -> dict[str, str]:
    """The headers of the browser that brought the code."""
    answer = guard.check("GET", code_of(guard), {"host": HOST})
    assert answer is not None and answer.status == 303
    assert answer.headers["Location"] == "/"
    cookie, *rest = answer.headers["Set-Cookie"].split("; ")
    assert rest == ["Path=/", "HttpOnly", "SameSite=Strict"]
    return {"host": HOST, "cookie": f"other=1; {cookie}"}


def status(answer: Refused | None) -> int:
    return answer.status if answer is not None else 200


def test_the_code_works_once(guard: Guard) -> None:
    headers = signed_in(guard)
    assert guard.check("GET", "/v1/agents", headers) is None
    again = guard.check("GET", code_of(guard), {"host": HOST})
    assert again is not None and again.status == 403 and "run `pymesos-cli web`" in again.text


@pytest.mark.parametrize("code", ["", "x", "é", "\x00"])
def test_another_code_does_not(guard: Guard, code: str) -> None:
    assert status(guard.check("GET", f"/?code={code}", {"host": HOST})) == 403
    assert signed_in(guard), "and the right one still does"


def test_without_the_cookie_nothing_is_answered(guard: Guard) -> None:
    headers = signed_in(guard)
    for cookie in ("", "pymesos-8000=", "pymesos-8000=é", "=;;", "pymesos-8000", "x" * 9000):
        for target in ("/", "/v1/agents", "/assets/x/main.js"):
            answer = guard.check("GET", target, headers | {"cookie": cookie})
            assert status(answer) == 403, cookie


@pytest.mark.parametrize("other", ['a={"b": 1}', "a b", "=", "é=ü", 'a="', "a=1,2", "[]={}"])
def test_odd_cookies_of_other_ports_keep_nobody_out(guard: Guard, other: str) -> None:
    """A browser sends the cookies of all that listens on 127.0.0.1 to each."""
    headers = signed_in(guard)
    own = headers["cookie"].removeprefix("other=1; ")
    name = own.partition("=")[0]
    for cookies in (f"{other}; {own}", f"{own}; {other}", f"{name}=x; {own}", f"{own};{name}="):
        assert guard.check("GET", "/v1/agents", headers | {"cookie": cookies}) is None, cookies


def test_a_browser_has_the_cookies_of_two_proxies_beside_each_other() -> None:
    jar: dict[str, str] = {}
    guards = {f"127.0.0.1:{port}": Guard(port) for port in (8000, 8001)}
    for host, guard in guards.items():
        answer = guard.check("GET", guard.url.removeprefix(f"http://{host}"), {"host": host})
        assert answer is not None
        name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
        jar[name] = value
    cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
    for host, guard in guards.items():
        assert guard.check("GET", "/v1/agents", {"host": host, "cookie": cookies}) is None


def test_the_cookies_of_two_proxies_differ() -> None:
    first, second = Guard(8000), Guard(8000)
    headers = signed_in(first)
    signed_in(second)
    assert status(second.check("GET", "/", headers)) == 403


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:80", "[::1]:8000"]
)  # fmt: skip
def test_another_name_of_this_address_is_refused(guard: Guard, host: str) -> None:
    headers = signed_in(guard)
    assert status(guard.check("GET", "/", headers | {"host": host})) == 403
    fresh = Guard(8000)
    assert status(fresh.check("GET", code_of(fresh), {"host": host})) == 403


def test_pages_of_other_sites_are_refused(guard: Guard) -> None:
    headers = signed_in(guard)
    own = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
    assert guard.check("POST", "/v1/tasks/kill", headers | own) is None
    assert guard.check("GET", "/", headers | {"sec-fetch-site": "none"}) is None
    silent = guard.check("POST", "/v1/tasks/kill", headers)
    assert silent is not None and silent.status == 403
    assert f"needs the header Origin: http://{HOST}" in silent.text
    other = guard.check("POST", "/", headers | {"origin": "http://evil.example"})
    assert other is not None and "Origin is 'http://evil.example'" in other.text
    for origin in (
        "null",
        "http://evil.example",
        "https://127.0.0.1:8000",
        "http://127.0.0.1:8001",
    ):
        assert status(guard.check("POST", "/", headers | own | {"origin": origin})) == 403
        assert status(guard.check("GET", "/v1/agents", headers | {"origin": origin})) == 403
    for site in ("cross-site", "same-site", "x"):
        answer = guard.check("GET", "/v1/agents", headers | {"sec-fetch-site": site})
        assert status(answer) == 403


async def test_a_refusal_is_json_as_a_master_has_it(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serving.Proxy(serving.Upstream(Cluster(Way("127.0.0.1:1"), 1.0)), guard)
    monkeypatch.setattr(proxy, "_is_ours", lambda _: True)
    request = make_mocked_request("POST", "/v1/tasks/kill", headers=signed_in(guard))
    answer = await proxy.answer(request)
    assert isinstance(answer, web.Response) and answer.text is not None
    assert (answer.status, answer.content_type) == (403, "application/json")
    message = f"a write needs the header Origin: http://{HOST}, and has none"
    assert json.loads(answer.text)["error"] == {"code": "PERMISSION_DENIED", "message": message}
    code = make_mocked_request("GET", code_of(fresh := Guard(8000)), headers={"Host": HOST})
    proxy.guard = fresh
    leads_on = await proxy.answer(code)
    assert leads_on.status == 303 and "Set-Cookie" in leads_on.headers


def test_by_localhost_too(guard: Guard) -> None:
    headers = signed_in(guard) | {"host": "localhost:8000"}
    assert guard.check("GET", "/", headers) is None
    assert guard.check("POST", "/", headers | {"origin": "http://localhost:8000"}) is None
    assert status(guard.check("POST", "/", headers | {"origin": f"http://{HOST}"})) == 403


def test_whose_a_connection_is() -> None:
    table = Path("/proc/net/tcp")
    uid = Path("/proc/self").stat().st_uid
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        peer, own = client.getsockname(), server.getsockname()
        assert is_of(peer, own, {uid}, table.read_text())
        assert not is_of(peer, own, {uid + 1}, table.read_text())
        assert not is_of((peer[0], 1), own, {uid}, table.read_text())
        assert not is_of(own, own, {uid}, table.read_text())


def test_who_runs_it_by_sudo_may() -> None:
    assert owners(0, {"SUDO_UID": "1000"}) == {0, 1000}
    for said in ("", "x", "-1", "²"):
        assert owners(1000, {"SUDO_UID": said}) == {1000}
