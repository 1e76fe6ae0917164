"""What a Slurm cluster offers, and whether Snakemake can follow its jobs there.

``python -m workflow.cluster`` prints what the lines to edit in ``slurm/config.yaml`` are chosen
from. The workflow asks for the same before it submits anything: on a site where Snakemake would
miss the end of a job, and then wait for it for ever, it says what to set and stops.
"""

from __future__ import annotations

import getpass
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yte

PROFILE = Path("slurm/config.yaml")
# Snakemake asks at least each three minutes; a job must be remembered for longer than that.
LONGEST_INTERVAL = 180
# What the executor writes as the comment of a job.
JOB = re.compile(r"(rule|group)_")


@dataclass(frozen=True)
class Site:
    """What the controller says of itself."""

    version: str
    # Seconds for which squeue remembers a job that ended.
    min_job_age: int
    # Whether sacct has a database to ask.
    accounting: bool


def ask(*command: str) -> str:
    """Run a client of Slurm.

    Args:
        command: The program and its arguments.

    Returns:
        What it printed.

    Raises:
        ValueError: If it is missing, fails or does not answer within a minute.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise ValueError(
            f"{command[0]} is not on this machine: start from a login node of the cluster, "
            "or leave --profile slurm out"
        ) from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"{' '.join(command)} did not answer within a minute") from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise ValueError(f"{' '.join(command)}: {said.splitlines()[-1]}")
    return done.stdout


def read_site(text: str) -> Site:
    """Read what ``scontrol show config`` prints.

    Args:
        text: One ``Key = value`` a line.

    Returns:
        The site.

    Raises:
        ValueError: If a key is missing.
    """
    found = dict(re.findall(r"^(\w+)\s*= ?(.*?)\s*$", text, flags=re.MULTILINE))
    try:
        return Site(
            version=found["SLURM_VERSION"],
            min_job_age=int(found["MinJobAge"].split()[0]),
            accounting="slurmdbd" in found["AccountingStorageType"],
        )
    except KeyError as error:
        raise ValueError(f"scontrol show config: no line {error.args[0]}") from None


def advised_status_command(site: Site) -> str | None:
    """Choose how Snakemake learns that a job ended.

    Args:
        site: What the controller says.

    Returns:
        ``squeue``, ``sacct``, or ``None`` where neither is sound.
    """
    if site.min_job_age > LONGEST_INTERVAL:
        return "squeue"
    return "sacct" if site.accounting else None


def objection(site: Site, status_command: str) -> str | None:
    """Say why Snakemake would lose sight of jobs.

    Args:
        site: What the controller says.
        status_command: ``slurm-status-command`` of the profile.

    Returns:
        One sentence with the remedy, or ``None`` if all is well.
    """
    advised = advised_status_command(site)
    forgets = f"this cluster forgets a job {site.min_job_age} s after its end (MinJobAge)"
    if advised is None:
        return (
            f"{forgets} and keeps no accounts (AccountingStorageType), so Snakemake could wait for "
            "ever for a job that ended. Ask its administrators for MinJobAge=300"
        )
    if status_command == advised:
        return None
    reason = (
        f"{forgets}, and Snakemake asks each {LONGEST_INTERVAL} s"
        if advised == "sacct"
        else "sacct says `CANCELLED by 0` of a cancelled job, for which Snakemake waits for ever"
        if site.accounting
        else "this cluster keeps no accounts (AccountingStorageType), so sacct knows no job"
    )
    return f"{reason}: set `slurm-status-command: {advised}`, where it is {status_command}"


def refuse_to_hang(status_command: str) -> None:
    """Stop the run, before anything is submitted, where it would wait for ever.

    Args:
        status_command: ``slurm-status-command`` of the profile.
    """
    try:
        problem = objection(read_site(ask("scontrol", "show", "config")), status_command)
    except ValueError as error:
        problem = str(error)
    if problem:
        sys.exit(f"{PROFILE}: {problem}")
    if status_command == "sacct":
        print(
            "A job that you cancel with scancel goes unnoticed here: press Ctrl-C and start again"
        )


def jobs_of(folder: Path) -> list[str]:
    """Find the jobs that a Snakemake submitted from a folder and that have not ended.

    Args:
        folder: The root of a clone.

    Returns:
        Their numbers.
    """
    lines = ask("squeue", "--me", "--noheader", "--format=%A %k %Z").splitlines()
    fields = (line.split(maxsplit=2) for line in lines)
    return sorted({
        number for number, comment, place in fields if JOB.match(comment) and Path(place) == folder
    })


def cancel_orphans(folder: Path, seconds: float = 180) -> None:
    """End the jobs of a Snakemake that was killed, which would write beside their successors.

    The caller holds Snakemake's lock of the folder, so that no other run owns them.

    Args:
        folder: The root of a clone.
        seconds: How long to wait for their end; a pretraining writes a checkpoint first.
    """
    orphans = jobs_of(folder)
    if not orphans:
        return
    print(f"cancelling {len(orphans)} jobs of a run that was killed: {' '.join(orphans)}")
    ask("scancel", *orphans)
    deadline = time.monotonic() + seconds
    while left := jobs_of(folder):
        if time.monotonic() > deadline:
            sys.exit(f"jobs {' '.join(left)} do not end; start again when `squeue --me` lists none")
        time.sleep(1)


def main() -> None:
    """Print what the cluster has and how the profile should be set."""
    try:
        site = read_site(ask("scontrol", "show", "config"))
        partitions = ask("sinfo", "--format=%16P %.12l %.6D %.5c %.9m %G").rstrip()
    except ValueError as error:
        sys.exit(str(error))
    print(f"Slurm {site.version}\n\nPartitions, time limit, nodes, cores, MB and GPUs of a node:")
    print(partitions)
    try:
        mine = ["associations", f"user={getpass.getuser()}", "format=account%-24,qos%-40"]
        accounts = ask("sacctmgr", "--noheader", "list", *mine)
        print(f"\nYour accounts and their QOS:\n{accounts.rstrip()}")
    except ValueError as error:
        print(f"\nNo accounts: {error}")
    profile = yte.process_yaml(PROFILE.read_text(), require_use_yte=True)
    status_command = profile["slurm-status-command"]
    if problem := objection(site, status_command):
        sys.exit(f"\n{PROFILE}: {problem}")
    print(f"\nslurm-status-command: {status_command} is right for this cluster.")


if __name__ == "__main__":
    main()
