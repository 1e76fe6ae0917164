"""Start a pretraining from another program: in this process, or as one process per rank."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from clip_mamba.files import atomic_write
from clip_mamba.training.preemption import SIGNALS, preempted, requeue
from clip_mamba.training.running import Running


def launch(job: Mapping[str, Any], launcher: Sequence[str] = ()) -> int:
    """Run :func:`clip_mamba.pretrain.run`.

    Args:
        job: Its arguments.
        launcher: What starts one process per rank (``srun ...``). Without it, several processes
            on one machine start each other, and a single one is this process.

    Returns:
        The exit status, as of ``python -m clip_mamba pretrain``.
    """
    running: Running = job["running"]
    if not launcher and running.nodes * running.devices == 1:
        from clip_mamba.cli.pretrain import guarded

        return guarded(**job)
    recipe = Path(job["folder"]) / "recipe.json"
    with atomic_write(recipe) as temporary:
        temporary.write_text(json.dumps(job["settings"], indent=1) + "\n")
    code = _follow([*launcher, *command(job, recipe)])
    if code and preempted():
        print(f"preempted before training began{requeue()}")
    return code


def srun(nodes: int, tasks: int, cpus: int) -> list[str]:
    """Return what starts the ranks within a Slurm job.

    Args:
        nodes: Machines.
        tasks: Processes on all of them.
        cpus: Cores of each process.

    Returns:
        The words before the command.
    """
    return [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={tasks}",
        f"--ntasks-per-node={tasks // nodes}",
        f"--cpus-per-task={cpus}",
        "--kill-on-bad-exit=1",
    ]


def command(job: Mapping[str, Any], recipe: Path) -> list[str]:
    """Return the command line of a job.

    Args:
        job: Arguments of :func:`clip_mamba.pretrain.run`.
        recipe: The file that holds its settings.

    Returns:
        Words.
    """
    words = [sys.executable, "-m", "clip_mamba", "pretrain", "--recipe", str(recipe)]
    named = {"model": job["model_name"]}
    named |= {name: job[name] for name in ("seed", "scale", "index", "folder", "weights", "result")}
    for name, value in {**named, **asdict(job["running"])}.items():
        if value is None or value == ():
            # Only what runs by default without being asked must be switched off in words.
            words += ["--checkpoint-seconds", "none"] if name == "checkpoint_seconds" else []
            continue
        values = value if isinstance(value, list | tuple) else [value]
        words += ["--" + name.replace("_", "-"), *map(str, values)]
    return words


def _follow(words: Sequence[str]) -> int:
    # Copies what the command says to this process's output, and passes signals on to it.
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        process.send_signal(number)

    before = {name: signal.signal(name, pass_on) for name in SIGNALS}
    try:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
        for name, handler in before.items():
            signal.signal(name, handler)
