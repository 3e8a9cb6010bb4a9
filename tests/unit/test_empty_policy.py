"""A policy without a rule, by which nobody may do anything, is not taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pymesos_cli.main import main
from pymesos_master.settings import read_policy_at

DOCUMENTS = ["", "# nothing yet\n", "allow: []\n", "groups: {ops: [operator/alice]}\n"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_it_is_checked_and_not_set(tmp_path: Path, document: str) -> None:
    (file := tmp_path / "policy.yaml").write_text(document)
    checked = CliRunner().invoke(main, ["policy", "check", str(file)])
    assert checked.exit_code == 0 and "a policy of 0 rules" in checked.output
    assert "by it nobody may do anything" in checked.output
    asked = ["--master", "127.0.0.1:1", "--timeout", "1", "policy", "set", str(file)]
    done = CliRunner().invoke(main, [*asked, "--instead-of", "0"])
    assert done.exit_code == 2 and "is not set: it has no rule" in done.output


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_cluster_begins_with_it(tmp_path: Path, document: str) -> None:
    """Nobody could set another."""
    (file := tmp_path / "policy.yaml").write_text(document)
    with pytest.raises(ValueError, match="by it nobody may do anything, nor set another policy"):
        read_policy_at(str(file))
    file.write_text("allow:\n- {who: operator/alice, do: [policy]}\n")
    assert len(read_policy_at(str(file)).rules) == 1
