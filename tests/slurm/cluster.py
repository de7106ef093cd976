"""A real Slurm cluster on this machine: munged, slurmctld and two slurmd with two fake GPUs each, below one folder.

Nothing in /etc is read or written, all ports are of the loopback interface, and only processes that were started here
are ended.
"""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "scancel")
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
FREEZER = Path("/sys/fs/cgroup/freezer")
# So long may anything take that the daemons do.
PATIENCE = 120

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2,max_rpc_cnt=0
SlurmdTimeout=5
SlurmctldTimeout=10
InactiveLimit=0
KillWait=2
ReturnToService=2
PartitionName=low Nodes=ALL Default=YES DefaultTime=10 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=1
PartitionName=high Nodes=ALL Default=NO DefaultTime=10 State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Say what keeps a cluster from being started here; None if nothing does."""
    if absent := [program for program in NEEDED if shutil.which(program, path=PATH) is None]:
        return f"no {', '.join(absent)} here; on Debian: apt install slurmctld slurmd slurm-client munge"
    return None


class Cluster:
    """Two nodes of eight cores and two GPUs each; a partition ``low``, which ``high`` preempts."""

    gpus = 2

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = root / "etc/slurm.conf"
        self._port, *self._node_ports = free_ports(3)
        # no other cluster on this machine has nodes of these names, by which slurmd calls its cgroups
        self.nodes = [f"n{port}" for port in self._node_ports]
        self._daemons: dict[str, subprocess.Popen] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Return what the programs of Slurm need to find this cluster."""
        return {"SLURM_CONF": str(self.conf), "PATH": f"{self.root}/bin{os.pathsep}{PATH}"}

    def start(self) -> None:
        self._write_files()
        # Tidies up where the tests are killed: its standard input ends with them.
        guard = [sys.executable, __file__, str(self.conf)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        munge = self.root / "munge"
        self._launch(
            "munged", "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={self.root}/etc/munge.key",
            f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--seed-file={munge}/seed",
            f"--log-file={self.root}/log/munged.log",
        )  # fmt: skip
        wait_for(lambda: (munge / "socket").exists(), "munged", 10)
        self._launch("slurmctld", "slurmctld", "-D")
        for node in self.nodes:
            self.start_node(node)
        self.wait_for_nodes()

    def start_node(self, node: str) -> None:
        self._launch(node, "slurmd", "-D", "-N", node)

    def start_missing_nodes(self) -> None:
        """Bring back the nodes that were killed."""
        for node in self.nodes:
            if node not in self._daemons:
                self.start_node(node)
        self.wait_for_nodes()

    def wait_for_nodes(self) -> None:
        """Wait until all nodes are idle."""
        names = ("sinfo", "-h", "-N", "-p", "low", "-t", "idle", "-o", "%N")
        wait_for(lambda: sorted(self.run(*names).split()) == sorted(self.nodes), "idle nodes")

    def stop(self) -> None:
        """End the daemons, the jobs and all other processes of this cluster."""
        self._guard.communicate()
        for process in self._daemons.values():
            process.wait(10)

    def run(self, *command: str) -> str:
        """Run a program of Slurm, and return what it prints."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30).stdout

    def jobs(self, states: str = "PENDING,CONFIGURING,RUNNING,COMPLETING,SUSPENDED") -> list[tuple[str, str, str]]:
        """Return id, state and comment of the jobs in these states."""
        lines = self.run("squeue", "-h", "-t", states, "-o", "%i|%T|%k").splitlines()
        return [tuple(line.split("|", 2)) for line in lines]

    def cancel_all(self) -> None:
        self.run("scancel", "--quiet", "-u", getpass.getuser())
        wait_for(lambda: not self.jobs(), "the end of all jobs", 60)

    def node_of(self, job: str) -> str:
        return self.run("squeue", "-h", "-j", job, "-o", "%N").strip()

    def kill_node(self, node: str) -> None:
        """Crash a node: its slurmd and all processes of the jobs on it end by SIGKILL."""
        jobs = self.run("squeue", "-h", "-w", node, "-t", "RUNNING,COMPLETING", "-o", "%A").split()
        self._daemons[node].kill()
        self._daemons.pop(node).wait()

        def is_of_node(title: str, environment: str) -> bool:
            of_job = any(f"\0SLURM_JOB_ID={job}\0" in environment for job in jobs)
            return of_job or (title.startswith("slurmstepd") and any(f"[{job}." in title for job in jobs))

        kill(processes_of(self.conf, is_of_node), signal.SIGKILL)
        # Slurm would find out by itself, but takes half a minute.
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=dead")

    def _write_files(self) -> None:
        for folder in ("etc", "state", "log", "munge", "dev", "bin", *(f"spool/{node}" for node in self.nodes)):
            (self.root / folder).mkdir(parents=True)
        # munged wants folders that others cannot write to, and its socket to be reachable
        self.root.chmod(0o755)
        (self.root / "munge").chmod(0o755)
        (self.root / "state").chmod(0o700)
        key = self.root / "etc/munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        for gpu in range(self.gpus):  # must be a character device; the digits become CUDA_VISIBLE_DEVICES
            (self.root / f"dev/gpu{gpu}").symlink_to("/dev/null")
        host = socket.gethostname().partition(".")[0]
        # what real clusters use, and what decides which processes get a job's signals
        proctrack = "cgroup" if os.geteuid() == 0 and os.access(FREEZER, os.W_OK) else "linuxproc"
        lines = [CONF.format(host=host, port=self._port, user=getpass.getuser(), root=self.root, proctrack=proctrack)]
        for node, port in zip(self.nodes, self._node_ports, strict=True):
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=8000 "
                f"Gres=gpu:h100:{self.gpus} State=UNKNOWN\n"
            )
        self.conf.write_text("".join(lines))
        if proctrack == "cgroup":
            text = "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n"
            (self.root / "etc/cgroup.conf").write_text(text)
        devices = f"{self.root}/dev/gpu[0-{self.gpus - 1}]"
        (self.root / "etc/gres.conf").write_text(
            f"AutoDetect=off\nNodeName={','.join(self.nodes)} Name=gpu Type=h100 File={devices}\n"
        )
        # Inside a job the executor removes SLURM_CONF, since real clusters have /etc/slurm; here it is put back.
        wrapper = self.root / "bin/srun"
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which("srun", path=PATH)} "$@"\n')
        wrapper.chmod(0o755)

    def _launch(self, name: str, *command: str) -> None:
        with (self.root / f"log/{name}.out").open("a") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then end the daemons
            )


def processes_of(conf: Path, wanted: Callable[[str, str], bool] = lambda title, environment: True) -> list[int]:
    """Return the processes of a cluster, its jobs included, that ``wanted`` takes by title and environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
            environment = "\0" + (folder / "environ").read_text(errors="replace")
        except OSError:  # ended, or of somebody else
            continue
        if f"\0SLURM_CONF={conf}\0" in environment and wanted(title, environment):
            found.append(int(folder.name))
    return found


def kill(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes that may have ended by themselves."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end_all(conf: Path) -> None:
    """End all processes of a cluster: its nodes first, then what is left of its jobs, then the rest."""
    kill(processes_of(conf, lambda title, environment: title.startswith("slurmd ")), signal.SIGKILL)
    of_job = "\0SLURM_JOB_ID="
    kill(processes_of(conf, lambda title, e: title.startswith("slurmstepd") or of_job in e), signal.SIGKILL)
    end = time.monotonic() + 5
    while (left := processes_of(conf)) and time.monotonic() < end:
        kill(left, signal.SIGTERM)
        time.sleep(0.1)
    kill(left, signal.SIGKILL)
    # process tracking by cgroups leaves empty groups behind
    groups = [FREEZER / f"slurm_{node}" for node in re.findall(r"^NodeName=(\S+)", conf.read_text(), re.M)]
    while any(group.exists() for group in groups) and time.monotonic() < end:
        for folder in sorted((folder for group in groups for folder in group.glob("**/")), reverse=True):
            with suppress(OSError):  # a process that takes a moment to die is still in it
                folder.rmdir()
        time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE, every: float = 0.1) -> object:
    """Return the first true value of ``condition``.

    Raises:
        TimeoutError: there was none in so many seconds.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(every)
    raise TimeoutError(f"waited {seconds} s for {what}")


if __name__ == "__main__":
    sys.stdin.read()
    end_all(Path(sys.argv[1]))
