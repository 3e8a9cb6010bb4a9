"""Numbers and references have one grammar, wherever a person writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import click
import pytest

from pymesos_binpack.jobfiles.parsing import JobError, load_document, parse_job, schema
from pymesos_core.flags import FiniteRange, WholeRange
from pymesos_core.ids import role_problem
from pymesos_core.images import image_problem
from pymesos_core.numbers import NumberSyntaxError, parse_decimal, parse_real, parse_whole
from pymesos_core.resource_values import MAX_SCALAR, ResourceError, parse_milli
from pymesos_core.resources import parse
from pymesos_core.text import count_of, cut, quoted

ROOT = Path(__file__).resolve().parents[2]
NO_NUMBERS = ("", " ", "1_0", "\u0661\u0662", "\uff11", "inf", "nan", "-inf", "0x10", "1e", "e1",
              "1 0", "1,5", "--1", "+-1", ".", "1.2.3", "\u00bd")  # fmt: skip


@pytest.mark.parametrize("parse_number", [parse_decimal, parse_real, parse_whole])
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number(text: str, parse_number: Callable[[str], object]) -> None:
    with pytest.raises(NumberSyntaxError, match=r"is not a (whole )?number"):
        parse_number(text)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "1" * 101])
def test_no_flag_takes_it(text: str) -> None:
    for kind in (FiniteRange(0, 10), WholeRange(0, 10)):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)
    with pytest.raises(ResourceError):
        parse_milli("cpus", text)
    with pytest.raises(ResourceError):
        parse(f"ports:[{text}-{text}]" if text.strip() else "cpus:")


def test_numbers() -> None:
    assert parse_decimal(" +1.50e1") == Decimal(15)
    assert [parse_real(text) for text in (".5", "12.", "1e3", "-0")] == [0.5, 12.0, 1000.0, 0.0]
    assert [parse_whole(text) for text in ("0100", "-7", "+7")] == [100, -7, 7]
    assert WholeRange(0, 10).convert("07", None, None) == 7
    assert FiniteRange(0, 10).convert("1e0", None, None) == 1.0
    for text in ("1e400", "1e99999999999999999999"):
        with pytest.raises(NumberSyntaxError, match="out of range"):
            parse_real(text)


def test_the_largest_amount_is_the_same_everywhere() -> None:
    assert schema()["$defs"]["amount"]["maximum"] == MAX_SCALAR
    for text in ("1e400", "2000000000000", str(MAX_SCALAR + 1)):
        with pytest.raises(ResourceError, match=f"--cpus is {text}; at most {MAX_SCALAR}"):
            parse_milli("--cpus", text)
    assert parse_milli("--cpus", str(MAX_SCALAR)) == MAX_SCALAR * 1000

    def job(cpus: int) -> dict[str, object]:
        return {"name": "j", "tasks": [{"name": "t", "command": "x", "resources": {"cpus": cpus}}]}

    assert parse_job(job(MAX_SCALAR)).tasks[0].scalars["cpus"] == MAX_SCALAR * 1000
    with pytest.raises(JobError, match=f"at most {MAX_SCALAR}"):
        parse_job(job(MAX_SCALAR + 1))


def test_no_expression_takes_digits_of_other_scripts() -> None:
    r"""In Python's expressions \d is any digit of Unicode, unless they are of bytes."""
    for package in ("core", "cli", "agent", "master", "frameworks"):
        for path in (ROOT / package).rglob("*.py"):
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                assert r"\d" not in line or 'rb"' in line, f"{path}:{number}: write [0-9]"


@pytest.mark.parametrize(
    "image",
    [
        "busybox", "python:3.12", "library/python", "localhost:5000/a/b:1", "a__b/c-d.e",
        "a.example/x@sha256:" + "0" * 64, "registry.example:5000/team/app:1.0", "[::1]:5000/a",
        "127.0.0.1:5000/zstd:1", "x:Tag_1", "no.such.registry.invalid/x:1",
        "oci:/tmp/layout:image", "oci-archive:/a/b.tar", "docker-archive:/a/b.tar:name:tag",
    ],
)  # fmt: skip
def test_references_of_images(image: str) -> None:
    assert image_problem(image) is None


@pytest.mark.parametrize(
    "image",
    ["nosuch image", " x", "x ", "x:", ":x", "x@", "x@sha256:1", "/x", "x/", "x//y", "x:a:b:c/",
     "-x", "été", "x:" + "t" * 129, "http://x/y", "a" * 1025, "oci:relative", "x\n", "$(x)"],
)  # fmt: skip
def test_what_is_no_image(image: str) -> None:
    problem = image_problem(image)
    assert problem and "as in python:3.12" in problem and len(problem) < 300
    document = {"name": "j", "tasks": [{"name": "t", "image": image}]}
    with pytest.raises(JobError, match=r"tasks\[0\].image"):
        parse_job(load_document(json.dumps(document)))


def test_the_usual_slip_of_an_image() -> None:
    said = str(image_problem("MyTeam/App:V1"))
    assert said.endswith("; names of images are lower case: myteam/app:v1")


def test_every_rule_of_a_job_file_has_words() -> None:
    def walk(node: object) -> None:
        if isinstance(node, dict):
            assert ("pattern" in node) == ("expected" in node), node
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        for below in inner:
            walk(below)

    walk(schema())
    with pytest.raises(JobError) as caught:
        parse_job(load_document("name: été\ntasks: [{name: t, command: x}]"))
    assert str(caught.value) == (
        "name: 'été' cannot be used; expected: letters a-z and A-Z, digits, - and _, with a letter"
        " or a digit at both ends"
    )


def test_what_is_repeated_is_cut() -> None:
    assert quoted("x" * 1000) == "'" + "x" * 58 + "…'"
    assert quoted("a\x1b") == r"'a\x1b'" and len(quoted("\u202e" * 1000)) < 70
    assert quoted(b"a\xff".decode("utf-8", "surrogateescape")) == r"'a\xff'"
    assert quoted("\ud800\udcff") == r"'\ud800\udcff'"
    assert cut("abc", 3) == "abc" and cut("abcd", 3) == "ab…"
    assert [count_of(n, "machine") for n in (0, 1, 2)] == ["0 machines", "1 machine", "2 machines"]
    assert role_problem("") == "a role is expected, as in eng or eng/web; this one is empty"
