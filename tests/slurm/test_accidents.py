"""What happens to jobs, nodes, the controller and Snakemake itself, on a real Slurm."""

import signal
import subprocess
import time

import pytest

from tests.slurm.cluster import wait_until
from tests.slurm.conftest import COMMAND, said, start, toy_clone

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(420)]


def lines(path):
    return path.read_text().split() if path.exists() else []


def number_of(slurm, rule, folder):
    """The number of a clone's running job of a rule."""
    for number, state, comment, place in slurm.jobs("%A %T %k %Z"):
        if (state, comment, place) == ("RUNNING", f"rule_{rule}", str(folder)):
            return number
    return None


@pytest.fixture(scope="module")
def struck(slurm, tmp_path_factory):
    """A run in which everything happens; its folder, exit code and output."""
    folder = toy_clone(tmp_path_factory.mktemp("clones") / "struck")
    (folder / "go").touch()
    snakemake = start(slurm, folder)
    wait_until(lambda: lines(folder / "attempts-cancelled"), 60, "the job to cancel")
    wait_until(lambda: lines(folder / "attempts-stranded"), 60, "the job on the node")
    slurm.run("scancel", number_of(slurm, "cancelled", folder))
    wait_until(lambda: len(lines(folder / "attempts-hungry")) == 2, 60, "more memory")
    (node,) = lines(folder / "attempts-stranded")
    slurm.cut_power(node)
    wait_until(lambda: len(lines(folder / "attempts-stranded")) == 2, 120, "the second attempt")
    slurm.start_node(node)
    slurm.stop_controller()
    time.sleep(10)
    slurm.start_controller()
    snakemake.wait(240)
    return folder, snakemake.returncode, said(folder)


def test_a_job_that_exceeds_its_memory_is_tried_again_with_more(struck):
    folder, _, _ = struck
    # Once more with the same memory if it was on the node that died.
    assert list(dict.fromkeys(lines(folder / "attempts-hungry"))) == ["600", "1200"]
    assert (folder / "done/hungry").exists()


def test_a_job_that_exceeds_its_time_is_tried_again_with_more(struck):
    folder, _, output = struck
    assert "TIMEOUT" in output
    # Once more with the same time if it was on the node that died.
    assert list(dict.fromkeys(lines(folder / "attempts-slow"))) == ["1", "2"]
    assert (folder / "done/slow").exists()


def test_a_node_that_dies_is_survived(struck):
    folder, _, _ = struck
    first, second = lines(folder / "attempts-stranded")
    assert {first, second} == {"n1", "n2"}
    assert (folder / "done/stranded").exists()


def test_a_cancelled_job_is_tried_again(struck):
    folder, _, _ = struck
    assert (folder / "done/cancelled").exists()


def test_a_job_that_fails_for_good_leaves_the_rest_running_and_is_named_at_the_end(struck):
    folder, code, output = struck
    assert code == 1
    assert len(lines(folder / "attempts-broken")) >= 3
    assert (folder / "done/after").exists()
    end = output[output.rindex("FAILED: ") :]
    assert end.startswith("FAILED: rule broken\n  log: logs/broken.log\n    | the disk is full\n")
    assert "results/logs/slurm/rule_broken/" in end


def test_after_the_repair_only_what_failed_runs(struck, slurm):
    folder, _, _ = struck
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "done").iterdir()}
    rules = (folder / "Snakefile").read_text()
    (folder / "Snakefile").write_text(rules.replace("exit 3", "touch {output}"))
    assert start(slurm, folder).wait(60) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "done").iterdir()}
    assert {**after, **before} == after
    assert set(after) - set(before) == {"broken"}


def test_two_clones_are_interrupted_and_started_again(slurm, tmp_path):
    """One by Ctrl-C, one by SIGKILL; neither touches the other's jobs; neither redoes its own."""
    asked, killed = toy_clone(tmp_path / "asked"), toy_clone(tmp_path / "killed")
    runs = {folder: start(slurm, folder, "done/after") for folder in (asked, killed)}
    for folder in runs:
        wait_until(lambda place=folder: lines(place / "attempts-after"), 60, "the second job")
    runs[asked].send_signal(signal.SIGINT)
    assert runs[asked].wait(120) != 0
    assert number_of(slurm, "after", asked) is None
    orphan = number_of(slurm, "after", killed)
    assert orphan
    runs[killed].kill()
    runs[killed].wait()
    for folder in runs:
        (folder / "go").touch()
    unlock = [*COMMAND, "--unlock"]
    subprocess.run(unlock, cwd=killed, env=slurm.environment, check=True, capture_output=True)
    runs = {folder: start(slurm, folder, "done/after") for folder in runs}
    for folder, run in runs.items():
        assert run.wait(90) == 0, said(folder)[-3000:]
        assert lines(folder / "attempts-fine") == ["try"]
        assert lines(folder / "attempts-after") == ["try", "try"]
    assert f"cancelling 1 jobs of a run that was killed: {orphan}" in said(killed)
    assert "cancelling" not in said(asked)
