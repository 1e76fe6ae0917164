import os
from pathlib import Path

from workflow.failures import Failure, began, read_failures, summary

LOG = """\
[Mon Nov 23 22:46:03 2026]
Error in rule pretrain:
    message: SLURM-job '1' failed, SLURM status is: 'FAILED'.
    jobid: 4
    output: weights
    log: {folder}/pretrain.log, {folder}/1.log (check log file(s) for error details)
    shell:
        jobid: 99
Trying to restart job 4.
Error in rule ood:
    jobid: 7
    log: {folder}/ood.log (check log file(s) for error details)
[Mon Nov 23 22:46:25 2026]
Finished jobid: 7 (Rule: ood)
Error in group tables:
    log: {folder}/8.log (check log file(s) for error details)
    jobs:
        rule table_ood:
            jobid: 12
            log: {folder}/table.log (check log file(s) for error details)
Error in rule pretrain:
    jobid: 4
    log: {folder}/pretrain.log, {folder}/2.log (check log file(s) for error details)
"""


def test_the_last_failure_of_each_job_counts_unless_a_later_attempt_finished(tmp_path):
    found = read_failures(LOG.format(folder=tmp_path))
    assert [(f.rule, f.jobid) for f in found] == [("group tables", "12"), ("pretrain", "4")]
    assert found[1] == Failure("pretrain", "4", (tmp_path / "pretrain.log", tmp_path / "2.log"))
    assert found[0].logs == (tmp_path / "8.log", tmp_path / "table.log")


def test_the_summary_ends_with_the_last_lines_of_each_log(tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text(LOG.format(folder=tmp_path))
    (tmp_path / "pretrain.log").write_text("".join(f"line {n}\n" for n in range(40)))
    (tmp_path / "2.log").write_text("")
    text = summary(log, tmp_path)
    assert "FAILED: rule pretrain\n" in text
    assert "    | line 28\n" in text and "    | line 39\n" in text and "line 27\n" not in text
    assert f"  log: {tmp_path}/2.log\n    | (empty)" in text
    assert f"  log: {tmp_path}/8.log\n    | (there is none" in text


def test_logs_that_snakemake_shows_are_not_taken_for_its_own(tmp_path):
    bar = "=" * 60
    inner = f"Error in rule ood:\n    jobid: 0\nSNAKEMAKE\n=========\n{tmp_path}"
    shown = f"Logfile {tmp_path}/8.log:\n{bar}\n{inner}\n{bar}\n"
    outer = f"Error in rule ood:\n    jobid: 7\n    log: a.log, 8.log\n{shown}Trying again.\n"
    assert read_failures(outer) == [Failure("ood", "7", (Path("a.log"), Path("8.log")))]


def test_a_quiet_log_leads_to_what_was_written_last_in_this_run(tmp_path):
    log = tmp_path / "2026-11-24T043000.123456.snakemake.log"
    log.write_text("Exiting because a job execution failed.\n")
    for place, name in enumerate(["old", "a", "b", "c", "d"]):
        path = tmp_path / f"logs/demo/{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"last words of {name}\n")
        os.utime(path, (0, began(log) - 10 + 20 * place))
    lines = summary(log, tmp_path / "logs").splitlines()
    assert "does not say which job" in lines[1]
    assert [line for line in lines if "log:" in line] == [
        f"  log: {tmp_path}/logs/demo/{name}.log" for name in "dcb"
    ]
    assert lines[3] == "    | last words of d"


def test_a_log_without_failures_gives_nothing(tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text("Nothing to be done.\n")
    (tmp_path / "logs").mkdir()
    assert summary(log, tmp_path / "logs") == ""
    assert summary(log, tmp_path / "nowhere") == ""
