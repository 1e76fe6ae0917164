from types import SimpleNamespace

import pytest

from workflow.cores import IN_A_JOB, cores


@pytest.mark.parametrize(("in_a_job", "expected"), [(False, 2), (True, 8)])
def test_a_job_of_a_cluster_has_what_it_asked_for(monkeypatch, in_a_job, expected):
    """`threads` was clipped to two cores here."""
    monkeypatch.delenv(IN_A_JOB, raising=False)
    if in_a_job:
        monkeypatch.setenv(IN_A_JOB, "1")
    assert cores(SimpleNamespace(threads=2, resources={"cpus_per_task": 8})) == expected


def test_without_a_cluster_cores_need_not_be_asked_for(monkeypatch):
    monkeypatch.delenv(IN_A_JOB, raising=False)
    assert cores(SimpleNamespace(threads=1, resources={})) == 1
