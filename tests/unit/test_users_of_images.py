"""Which user of an image a name is, and that only root is root."""

from __future__ import annotations

import pytest

from pymesos_agent.containers import users
from pymesos_agent.containers.users import User, UserError

PASSWD = """\
root:x:0:0::/:
app:x:0:0::/:
1000:x:0:0::/:
web:x:1001:1002::/:
 two:x:0
two:x:1003:1003::/:
"""


def resolved(text: str) -> User:
    return users.resolve(text, {"passwd": PASSWD, "group": ""}.__getitem__)


@pytest.mark.parametrize("text", ["root", "0", "00", ":1"])
def test_who_names_root_is_root(text: str) -> None:
    assert resolved(text).uid == 0


@pytest.mark.parametrize("text", ["app", "app:1"])
def test_who_does_not_is_not_whatever_the_image_says(text: str) -> None:
    with pytest.raises(UserError, match="has the id 0: name root if that is meant"):
        resolved(text)


def test_a_name_that_is_there_twice_is_nobodys() -> None:
    """An engine took the line that is none here, and so root."""
    with pytest.raises(UserError, match="the image has several users 'two'"):
        resolved("two")


def test_a_number_is_an_id_also_where_it_is_a_name() -> None:
    assert resolved("1000") == User(1000, 0)
    assert resolved("1001") == resolved("web") == User(1001, 1002)
