"""The stories come true; `docs/failures.md` is written from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_simulation.stage import StoryError
from pymesos_simulation.stories import read, tell

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    story = read(path)
    for seed in range(5):
        lines: list[str] = []
        try:
            tell(story, lines.append, seed)
        except AssertionError:
            print(f"seed {seed}", *lines[-60:], sep="\n")
            raise


def test_what_is_expected_in_vain_fails(tmp_path: Path) -> None:
    path = tmp_path / "vain.txt"
    path.write_text("Vain\n\nfails: x\n--\n1 master\nexpect epoch 2 within 5 s\n")
    with pytest.raises(AssertionError, match=r"vain, line 6 \(expect epoch 2 within 5 s\)"):
        tell(read(path))


def test_what_is_not_understood_is_said(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text("Odd\n--\nthe moon rises\n")
    with pytest.raises(StoryError, match="odd, line 3: nothing is known that reads like"):
        tell(read(path))
