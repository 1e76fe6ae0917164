"""Who started the processes of a run, and how many there are.

Three ways lead to the same run: one process that starts its siblings itself (Lightning), one
process per rank under ``torchrun``, and one under ``srun``. The command line is the same.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import torch
from lightning_fabric.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy

from clip_mamba.training.running import Running


def under_torchrun() -> bool:
    """Tell whether ``torchrun`` started this process.

    Returns:
        Whether it did.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ


def under_srun() -> bool:
    """Tell whether ``srun`` started this process as one of several.

    A Slurm job whose script runs on its own is not meant: Snakemake's jobs are such.

    Returns:
        Whether it did.
    """
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in os.environ


def layout(running: Running) -> tuple[int, int]:
    """Return the number of nodes and of processes on each.

    Args:
        running: What is asked for; what started the processes knows better.

    Returns:
        Nodes, processes per node.
    """
    if under_torchrun():
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return int(os.environ["WORLD_SIZE"]) // per_node, per_node
    if under_srun():
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", 1))
        return nodes, int(os.environ["SLURM_STEP_NUM_TASKS"]) // nodes
    return running.nodes, running.devices


def is_first() -> bool:
    """Tell whether this process is the first of the run, before Lightning knows.

    Returns:
        Whether it is.
    """
    names = ["NODE_RANK", "LOCAL_RANK"]
    if under_torchrun():
        names = ["RANK"]
    elif under_srun():
        names = ["SLURM_PROCID"]
    return all(int(os.environ.get(name, 0)) == 0 for name in names)


def placement(running: Running) -> dict[str, Any]:
    """Return Lightning's settings for the processes.

    Args:
        running: What is asked for.

    Returns:
        Arguments of ``Trainer``: accelerator, devices, nodes, strategy; and ``environment``.
    """
    nodes, devices = layout(running)
    gpu = torch.cuda.is_available()
    where: dict[str, Any] = {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": devices,
        "num_nodes": nodes,
        "environment": _environment(),
    }
    if nodes * devices > 1:
        where["strategy"] = DDPStrategy(
            process_group_backend="nccl" if gpu else "gloo",
            broadcast_buffers=False,  # they are equal: BatchNorm shares its statistics
            gradient_as_bucket_view=True,
        )
    return where


def _environment() -> Any:
    if under_torchrun():
        return TorchElasticEnvironment()
    if not under_srun():
        return LightningEnvironment()
    nodes, devices = layout(Running())
    # Lightning reads the job's variables; those of the step are what counts.
    os.environ["SLURM_NTASKS"] = str(nodes * devices)
    os.environ["SLURM_NNODES"] = str(nodes)
    os.environ["SLURM_NTASKS_PER_NODE"] = str(devices)
    os.environ.setdefault("MASTER_ADDR", _first_node())
    return SLURMEnvironment(auto_requeue=False)


def _first_node() -> str:
    """Return the address of the step's first node; where names do not resolve, the launcher's."""
    nodes = os.environ.get("SLURM_STEP_NODELIST", os.environ.get("SLURM_NODELIST", "127.0.0.1"))
    name = SLURMEnvironment.resolve_root_node_address(nodes)
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR", name)
    return name
