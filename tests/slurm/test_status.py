"""No silent hang: with and without accounting, with a long and a short memory of ended jobs."""

import pytest

from tests.slurm.cluster import running
from tests.slurm.conftest import fill_in, said, start, toy_clone

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]


def test_a_cluster_that_forgets_its_jobs_is_refused(tmp_path):
    folder = toy_clone(tmp_path / "forgetful")
    with running(min_job_age=5) as cluster:
        assert start(cluster, folder, "done/fine").wait(60) != 0
    assert "slurm/config.yaml: this cluster forgets a job 5 s after its end" in said(folder)
    assert "MinJobAge=300" in said(folder)
    assert not (folder / "attempts-fine").exists()


def test_with_accounting_jobs_finish_and_account_and_gpu_type_are_used(tmp_path):
    folder = toy_clone(tmp_path / "accounted")
    profile = folder / "slurm/config.yaml"
    fill_in(profile, account="study")
    with running(accounting=True) as cluster:
        assert start(cluster, folder, "done/fine").wait(60) == 0, said(folder)[-2000:]
        assert cluster.run("sacct", "-nXP", "--format=Account,State") == "study|COMPLETED"
        assert "No SLURM account given" not in said(folder)
        assert start(cluster, folder, "done/gpu").wait(60) == 0, said(folder)[-2000:]
        assert (folder / "done/gpu").read_text() in {"gpu 0 1\n", "gpu 1 1\n"}
        # sacct in place of squeue, where squeue would do: refused, for it misses cancelled jobs.
        text = profile.read_text()
        profile.write_text(text.replace("status-command: squeue", "status-command: sacct"))
        (folder / "done/fine").unlink()
        assert start(cluster, folder, "done/fine").wait(60) != 0
        assert "set `slurm-status-command: squeue`" in said(folder)


def test_a_forgetful_cluster_with_accounting_is_followed_with_sacct(tmp_path):
    folder = toy_clone(tmp_path / "sacct")
    profile = folder / "slurm/config.yaml"
    with running(accounting=True, min_job_age=5) as cluster:
        assert start(cluster, folder, "done/fine").wait(60) != 0
        assert "set `slurm-status-command: sacct`" in said(folder)
        text = profile.read_text()
        profile.write_text(text.replace("status-command: squeue", "status-command: sacct"))
        assert start(cluster, folder, "done/fine").wait(60) == 0, said(folder)[-2000:]
    assert "goes unnoticed here" in said(folder)
