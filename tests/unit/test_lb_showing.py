"""HAProxy's runtime socket is given the certificates that it does not have, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_core.security.authority import certificate_pem, new_key
from pymesos_lb.certificates import Certificate, read_certificate
from pymesos_lb.slots import FeedError, HaProxy
from pymesos_testing.certificates import key_pem, public_certificate, public_pem

FOLDER = "/c"


class Socket(HaProxy):
    """What HAProxy's socket answers; it hangs up on what is larger than its buffer."""

    def __init__(self, bufsize: int = 1 << 14) -> None:
        super().__init__("/nowhere")
        self.bufsize = bufsize
        self.shown: dict[str, bytes] = {}
        self.opened: dict[str, bytes] = {}  # transactions
        self.listed: set[str] = set()
        self.commits: list[str] = []
        self.is_gone = False

    async def ask(self, *lines: str) -> str:
        (line,) = lines
        if self.is_gone or len(line) > self.bufsize:
            self.opened |= {line.split()[3]: b""} if line.startswith("set ssl") else {}
            raise FeedError("ConnectionResetError")
        words = line.split()
        verb, path = " ".join(words[:3]), words[3]
        match verb:
            case "show ssl crt-list":
                return "\n".join([f"# {FOLDER}", *sorted(self.listed)])
            case "show ssl cert":
                if path not in self.shown:
                    return "Can't display the certificate: Not found\n"
                first = read_certificate(self.shown[path]).fingerprint if self.shown[path] else ""
                return f"Filename: {path}\nSHA1 FingerPrint: {first}\n"
            case "new ssl cert":
                self.shown[path] = b""
            case "set ssl cert":
                self.opened[path] = line.partition("<<\n")[2].encode()
            case "commit ssl cert":
                self.shown[path] = self.opened.pop(path)
                self.commits.append(Path(path).name)
                return "Committing\nSuccess!\n"
            case "abort ssl cert":
                self.opened.pop(path, None)
            case "add ssl crt-list":
                self.listed.add(words[4])
            case "del ssl crt-list":
                self.listed.remove(words[4])
            case "del ssl cert":
                del self.shown[path]
            case _:
                raise AssertionError(line)
        return ""


def certificates(**pems: bytes) -> dict[str, Certificate]:
    return {f"{FOLDER}/{name}": read_certificate(pem) for name, pem in pems.items()}


async def test_a_chain_that_is_mended_below_the_same_certificate_is_shown() -> None:
    it, accepted = Socket(), dict[str, bytes]()
    key = new_key()
    leaf, above = public_certificate("a", of=key), public_certificate("ca", of=new_key())
    short = certificates(a=certificate_pem(leaf) + key_pem(key), b=public_pem("b"))
    mended = short | certificates(a=certificate_pem(leaf, above) + key_pem(key))
    assert await it.show(FOLDER, short, accepted) == []
    assert await it.show(FOLDER, mended, accepted) == []
    assert it.shown == {path: each.pem for path, each in mended.items()}
    assert await it.show(FOLDER, mended, accepted) == []
    assert it.commits == ["a", "b", "a"], "what it has taken is not given again"
    del mended[f"{FOLDER}/b"]
    assert await it.show(FOLDER, mended, accepted) == []
    assert accepted == it.shown and it.listed == set(mended), "what is gone is forgotten"


async def test_one_that_is_too_large_leaves_the_others_be_renewed() -> None:
    large = public_pem("b", *(f"{number}.{'b' * 60}.example.org" for number in range(20)))
    it, accepted = Socket(bufsize=len(large) - 1), dict[str, bytes]()
    wanted = certificates(a=public_pem("a"), b=large, c=public_pem("c"))
    assert await it.show(FOLDER, wanted, accepted) == [f"{FOLDER}/b"]
    assert it.commits == ["a", "c"] and sorted(accepted) == [f"{FOLDER}/a", f"{FOLDER}/c"]
    assert it.opened == {}, "nothing is left begun"


async def test_an_haproxy_that_is_gone_is_not_taken_for_one_that_refuses() -> None:
    it = Socket()
    it.is_gone = True
    with pytest.raises(FeedError):
        await it._takes(f"{FOLDER}/a", read_certificate(public_pem("a")))
