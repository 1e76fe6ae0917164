"""A real Slurm of virtual nodes on this machine: every file in one folder, nothing under /etc.

munged, slurmctld and one slurmd per node (and, with accounting, mariadbd and slurmdbd) run as
children of this process and listen on loopback. Debian's packages are needed:
``apt-get install --no-install-recommends slurmctld slurmd slurm-client munge slurmdbd
mariadb-server``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = (
    "srun",
    "sbatch",
    "squeue",
    "scancel",
    "scontrol",
    "sinfo",
    "sacct",
    "sacctmgr",
    "sshare",
)

CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
# React at once: tests wait for it.
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge={min_job_age}
# Refuse what no node can ever run, instead of leaving it pending for ever.
EnforcePartLimits=ALL
# There are no cgroups here: memory is polled.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{accounting}
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=20 State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE PriorityTier=1 GraceTime=20 State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=9 PreemptMode=OFF State=UP
"""
NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge/socket
AccountingStorageTRES=gres/gpu"""
DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def unavailable(accounting: bool = False) -> str | None:
    """Return why no Slurm can be started here, or nothing if it can."""
    needed = [*DAEMONS, *(["slurmdbd", "mariadbd"] if accounting else [])]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (.ci/run installs Debian's Slurm packages)"
    return None if os.getuid() == 0 else "Slurm's daemons need root"


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback device that are free at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until a condition holds; raise TimeoutError that names it otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.1)


@dataclass
class Cluster:
    """The daemons, started by :meth:`start` and ended, and no others, by :meth:`stop`."""

    folder: Path
    nodes: int = 2
    cpus: int = 8
    memory: int = 60_000
    gpus: int = 2
    accounting: bool = False
    min_job_age: int = 300
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    # What a test runs on the cluster; killed at the end if it still lives.
    guests: list[subprocess.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a user's shell has: the clients on PATH, one thread per program."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("SLURM_")},
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            # Virtual nodes have no name that resolves.
            "MASTER_ADDR": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }

    def run(self, *command: str) -> str:
        """Run a client of Slurm and return what it printed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def jobs(self, columns: str = "%i %T %N") -> list[list[str]]:
        """Return the queue, ended jobs included."""
        lines = self.run("squeue", "--noheader", "--states=all", f"--format={columns}")
        return [line.split() for line in lines.splitlines()]

    def start(self) -> None:
        """Start everything; return when all nodes are idle."""
        for name in ("munge", "state", "log", "bin"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        (self.folder / "munge").chmod(0o711)
        ports = free_ports(self.nodes + 2)
        self._write_configuration(*ports)
        self._start_munge()
        if self.accounting:
            self._start_accounting(ports[1])
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(f"n{number}")
        wait_until(self._all_idle, 30, "all nodes idle")

    def _all_idle(self) -> bool:
        try:
            return self.run("sinfo", "-hNpcpu", "-o%t").split() == ["idle"] * self.nodes
        except RuntimeError:
            return False  # the controller is not there yet

    def _write_configuration(self, controller: int, database: int, *ports: int) -> None:
        host = socket.gethostname().split(".")[0]
        nodes = [
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={self.cpus} RealMemory={self.memory} Gres=gpu:a100:{self.gpus} State=UNKNOWN"
            for number, port in enumerate(ports, start=1)
        ]
        accounting = (
            ACCOUNTING if self.accounting else "AccountingStorageType=accounting_storage/none"
        )
        text = CONFIGURATION.format(
            host=host,
            controller_port=controller,
            folder=self.folder,
            min_job_age=self.min_job_age,
            accounting=accounting.format(port=database, folder=self.folder),
            nodes="\n".join(nodes),
        )
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        # A GPU must be a character device for Slurm to count it.
        for number in range(self.gpus):
            (self.folder / f"gpu{number}").symlink_to("/dev/null")
        devices = f"{self.folder}/gpu[0-{self.gpus - 1}]"
        (self.folder / "gres.conf").write_text(
            f"NodeName=n[1-{self.nodes}] Name=gpu Type=a100 File={devices}\n"
        )
        # The executor's jobstep plugin drops SLURM_CONF, hence wrappers that set it again.
        for client in CLIENTS:
            wrapper = self.folder / "bin" / client
            wrapper.write_text(
                f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec /usr/bin/{client} "$@"\n'
            )
            wrapper.chmod(0o755)

    def _spawn(self, name: str, *command: str, **environment: str) -> None:
        log = (self.folder / "log" / f"{name}.out").open("ab")
        self.processes[name] = subprocess.Popen(
            command,
            env={**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _start_munge(self) -> None:
        place = self.folder / "munge"
        key = place / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        options = {"key-file": key, "socket": place / "socket", "pid-file": place / "pid"}
        options |= {"log-file": place / "log", "seed-file": place / "seed"}
        named = [f"--{option}={value}" for option, value in options.items()]
        self._spawn("munged", "munged", "--foreground", "--num-threads=2", *named)
        wait_until((place / "socket").exists, 10, "munged's socket")

    def _start_accounting(self, port: int) -> None:
        data, run = self.folder / "mysql", self.folder / "mysqlrun"
        user = pwd.getpwnam("mysql")
        for place in (data, run):
            place.mkdir()
            os.chown(place, user.pw_uid, user.pw_gid)
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}"]
            + ["--skip-test-db", "--auth-root-authentication-method=socket"],
            check=True,
            capture_output=True,
        )
        server = ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}"]
        server += [f"--socket={run}/sock", "--skip-networking", f"--pid-file={run}/pid"]
        server += ["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"]
        self._spawn("mariadbd", *server)
        client = ["mariadb", "--no-defaults", "-S", f"{run}/sock", "-e"]
        create = [*client, "CREATE DATABASE IF NOT EXISTS slurm_acct_db"]
        ready = lambda: subprocess.run(create, capture_output=True, check=False).returncode == 0  # noqa: E731
        wait_until(ready, 30, "the database server's answer")
        settings = self.folder / "slurmdbd.conf"
        settings.write_text(DATABASE.format(folder=self.folder, port=port))
        settings.chmod(0o600)
        self._spawn("slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=f"{run}/sock")
        wait_until(self._has_account, 30, "slurmdbd's answer")
        self.run("sacctmgr", "-i", "add", "account", "study", "description=test")
        self.run("sacctmgr", "-i", "add", "user", "root", "account=study")

    def _has_account(self) -> bool:
        try:
            return bool(self.run("sacctmgr", "-i", "add", "cluster", "local"))
        except RuntimeError:
            return False

    def start_controller(self) -> None:
        """Start slurmctld; it takes up the jobs of a controller before it."""
        self._spawn("slurmctld", "slurmctld", "-D")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        self._spawn(node, "slurmd", "-D", "-N", node)

    def stop_controller(self) -> None:
        """End slurmctld; jobs go on."""
        self._end("slurmctld")

    def cut_power(self, node: str) -> None:
        """Kill a node's slurmd and everything that runs on the node, without any goodbye."""
        daemon = self.processes.pop(node)
        daemon.kill()
        self._kill_steps(node)
        daemon.wait()

    def _steps(self, node: str) -> list[psutil.Process]:
        """Return the node's slurmstepd: each listens in the node's spool folder."""
        spool, found = f"{self.folder}/spool.{node}/", []
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):
                if process.info["name"] == "slurmstepd" and any(
                    str(each.laddr).startswith(spool) for each in process.net_connections("unix")
                ):
                    found.append(process)
        return found

    def _kill_steps(self, node: str) -> None:
        """Kill all that runs on a node, at once: no step may report the end of its processes."""
        steps = self._steps(node)
        for step in steps:
            step.suspend()
        for process in [p for step in steps for p in [*step.children(recursive=True), step]]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _end(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """End the guests, then the jobs, then the daemons, newest first."""
        for guest in self.guests:
            if guest.poll() is None:
                guest.kill()
                guest.wait()
        if "slurmctld" in self.processes:
            try:
                self.run("scancel", "--user=root")
                wait_until(lambda: not self.run("squeue", "-h"), 20, "the end of all jobs")
            except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as error:
                print(f"while ending jobs: {error}")
        for number in range(1, self.nodes + 1):
            self._kill_steps(f"n{number}")
        for name in reversed(list(self.processes)):
            self._end(name)


@contextmanager
def running(**settings) -> Generator[Cluster]:
    """Start a cluster in a new folder; stop it and remove the folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = Cluster(folder / "run", **settings)
    folder.chmod(0o755)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
