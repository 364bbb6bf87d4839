"""The files that start clusters: every start of Ray requires a token, and no dashboard is open to a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", ["cluster.yaml", "deploy/on-prem.yaml"])
def test_each_host_of_a_cluster_requires_a_token(file: str) -> None:
    content = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    starts = [*content["head_start_ray_commands"], *content["worker_start_ray_commands"]]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    for command in starts:
        assert "RAY_AUTH_MODE=token" in command
        assert "--dashboard-host=127.0.0.1" in command or "--head" not in command
    assert any("RAY_AUTH_MODE=token" in command for command in content["setup_commands"]), "shells join with it"
    assert any(target.endswith(".ray/auth_token") for target in content["file_mounts"])


def test_kuberay_requires_a_token() -> None:
    content = yaml.safe_load((ROOT / "deploy" / "kuberay.yaml").read_text(encoding="utf-8"))
    assert content["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_slurm_has_a_token_per_job_before_ray_starts() -> None:
    text = (ROOT / "deploy" / "slurm.sh").read_text(encoding="utf-8")
    before = text[: text.index("ray start")]
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN" in before
    assert re.search(r"^RAY_AUTH_TOKEN=\$\(.*secrets\.token_hex\(32\)", before, re.MULTILINE)
    assert "--include-dashboard=false" in text
