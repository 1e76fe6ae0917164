"""What failed in a run, in a few lines at its end, where it is looked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# Lines of each log that are shown.
LAST_LINES = 12
# Logs that are shown where it is not known which job failed.
LAST_LOGS = 3
HEAD = re.compile(r"^Error in (?:rule (?P<rule>\S+?)|group (?P<group>\S+?)):?\s*$")


@dataclass(frozen=True)
class Failure:
    """A job that failed, as Snakemake's own log tells of it."""

    rule: str
    jobid: str
    logs: tuple[Path, ...]


def read_failures(text: str) -> list[Failure]:
    """Find the jobs that failed for good: those that a later attempt did not finish.

    Args:
        text: Snakemake's log of a run.

    Returns:
        The last failure of each job, in order.
    """
    found: dict[str, Failure] = {}
    lines = _without_shown_logs(text.splitlines())
    for number, line in enumerate(lines):
        if head := HEAD.match(line):
            failure = _read_block(head["rule"] or f"group {head['group']}", lines[number + 1 :])
            found.pop(failure.jobid, None)
            found[failure.jobid] = failure
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            found.pop(finished[1], None)
    return list(found.values())


def _without_shown_logs(lines: list[str]) -> list[str]:
    # Leave out what --show-failed-logs copies between two bars: a job's own Snakemake speaks there.
    kept: list[str] = []
    bar = ""
    for number, line in enumerate(lines):
        if bar:
            bar = "" if line == bar else bar
        elif number and lines[number - 1].startswith("Logfile ") and set(line) == {"="}:
            bar = line
        else:
            kept.append(line)
    return kept


def _read_block(rule: str, lines: list[str]) -> Failure:
    # The indented lines below an error's head.
    jobid, logs = "", []
    for line in lines:
        if not line.startswith("    "):
            break
        key, _, value = line.strip().partition(": ")
        if key == "jobid":
            jobid = jobid or value
        elif key == "log":
            names = value.removesuffix(" (check log file(s) for error details)").split(", ")
            logs += [Path(name) for name in names]
    return Failure(rule, jobid or rule, tuple(dict.fromkeys(logs)))


def summary(log: Path, jobs: Path) -> str:
    """Say what failed: rule, logs and their last lines.

    Args:
        log: Snakemake's own log of the run.
        jobs: The folder of the jobs' logs, looked into where Snakemake's own says nothing of jobs,
            as ``--quiet`` has it.

    Returns:
        Lines to print.
    """
    text = log.read_text(errors="replace")
    parts = []
    for failure in read_failures(text):
        parts.append(f"\nFAILED: rule {failure.rule}".replace("rule group", "group"))
        parts += [line for path in failure.logs for line in _shown(path)]
    return "\n".join(parts or _last_written(jobs, since=began(log)))


def began(log: Path) -> float:
    """Return when a run began.

    Args:
        log: Snakemake's own log of it, whose name says when.

    Returns:
        Seconds since 1970; 0 if the name says nothing.
    """
    stamp = re.match(r"\d{4}-\d\d-\d\dT\d{6}", log.name)
    return datetime.strptime(stamp[0], "%Y-%m-%dT%H%M%S").timestamp() if stamp else 0.0


def _last_written(folder: Path, since: float) -> list[str]:
    # What the jobs wrote last, of this run: the best guess at which of them failed.
    written = {path: path.stat().st_mtime for path in folder.rglob("*.log")}
    latest = sorted((p for p in written if written[p] >= since), key=lambda p: -written[p])
    if not latest:
        return []
    head = (
        "\nFAILED, but Snakemake's log does not say which job (--quiet hides it). Written last, "
        "the latest first:"
    )
    return [head, *(line for path in latest[:LAST_LOGS] for line in _shown(path))]


def _shown(path: Path) -> list[str]:
    return [f"  log: {path}", *(f"    | {line}" for line in _last_lines(path))]


def _last_lines(path: Path) -> list[str]:
    if not path.exists():
        return ["(there is none: the job ended before it wrote anything)"]
    lines = path.read_text(errors="replace").splitlines()
    return lines[-LAST_LINES:] or ["(empty)"]
