"""Make a run that was killed startable again (run by ``make report``).

Snakemake locks its folder and frees it when it ends, however it ends, except by SIGKILL or a power
cut. Then the lock stays, and a job may go on as an orphan and write beside its successor.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil

LOCKS = Path(".snakemake/locks")


def processes_here(pattern: str) -> list[psutil.Process]:
    """Return the processes that work in this folder and have a matching argument.

    Args:
        pattern: Regular expression, searched in each argument of the command line.

    Returns:
        The processes, without this one and those that it was started by.
    """
    here, own = os.getcwd(), {p.pid for p in [psutil.Process(), *psutil.Process().parents()]}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in own or process.cwd() != here:
                continue
            if any(re.search(pattern, argument) for argument in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue  # it ended, or belongs to someone else
    return found


def main() -> None:
    """Stop orphaned jobs and free the lock, unless Snakemake is at work in this folder."""
    if not (LOCKS.is_dir() and any(LOCKS.iterdir())) or processes_here(r"(^|/)snakemake$"):
        return
    for job in processes_here(r"\.snakemake/scripts/"):
        print(f"stopping job {job.pid} of a run that was killed")
        job.terminate()
        job.wait(30)
    print("freeing the lock of a run that was killed")
    subprocess.run([sys.executable, "-m", "snakemake", "--unlock", "--quiet"], check=True)


if __name__ == "__main__":
    main()
