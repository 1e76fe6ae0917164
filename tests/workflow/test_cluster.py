import re
import subprocess

import pytest

from workflow import cluster
from workflow.cluster import Site, advised_status_command, objection, read_site

CONFIG = """Configuration data as of 2026-11-23T22:45:26
AccountingStorageType   = accounting_storage/slurmdbd
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8
"""


def test_a_site_is_read():
    assert read_site(CONFIG) == Site("22.05.8", 300, True)


def test_a_missing_line_is_named():
    with pytest.raises(ValueError, match="no line MinJobAge"):
        read_site(CONFIG.replace("MinJobAge", "MaxJobAge"))


@pytest.mark.parametrize(
    ("age", "accounting", "advised"),
    [(300, True, "squeue"), (300, False, "squeue"), (60, True, "sacct"), (60, False, None)],
)
def test_the_status_command_follows_from_memory_and_accounts(age, accounting, advised):
    assert advised_status_command(Site("23.11", age, accounting)) == advised


@pytest.mark.parametrize(
    ("age", "accounting", "chosen", "said"),
    [
        (300, True, "squeue", None),
        (300, False, "squeue", None),
        (60, True, "sacct", None),
        (60, True, "squeue", "set `slurm-status-command: sacct`, where it is squeue"),
        (300, False, "sacct", "keeps no accounts .* set `slurm-status-command: squeue`"),
        (300, True, "sacct", "CANCELLED by 0.*set `slurm-status-command: squeue`"),
        (60, False, "squeue", "could wait for ever .* MinJobAge=300"),
        (60, False, "sacct", "could wait for ever .* MinJobAge=300"),
    ],
)
def test_a_setting_with_which_jobs_would_be_lost_is_refused(age, accounting, chosen, said):
    found = objection(Site("23.11", age, accounting), chosen)
    if said is None:
        assert found is None
    else:
        assert re.search(said, found)


def test_without_slurm_the_run_stops_with_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"slurm/config.yaml: scontrol is not on this machine"):
        cluster.refuse_to_hang("squeue")


def test_only_snakemakes_jobs_of_this_folder_are_orphans(monkeypatch, tmp_path):
    here, other = tmp_path / "a clone", tmp_path / "another"
    queue = f"11 rule_ood_wildcards_x {here}\n12 rule_ood {other}\n13 (null) {here}\n"
    queue += f"14 group_report {here}\n"

    def answer(command, **_):
        assert command[0] == "squeue"
        return subprocess.CompletedProcess(command, 0, queue, "")

    monkeypatch.setattr(subprocess, "run", answer)
    assert cluster.jobs_of(here) == ["11", "14"]
