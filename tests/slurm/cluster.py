"""A Slurm of one node in a temporary folder, for as long as a command runs: munge, slurmctld and slurmd.

    python tests/slurm/cluster.py pytest tests/slurm

It needs root and Debian's packages slurm-wlm and munge, and touches no Slurm that is installed otherwise: its
configuration, key, sockets, state and logs lie in a folder of its own, its ports are free ones. The command finds it
through the environment variable SLURM_CONF.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PATIENCE = 60.0
"""Seconds that the node may take until it takes jobs."""

# Nothing here needs control groups, a database or systemd. A requeued job starts again when its credential has expired,
# two minutes later unless told otherwise. Cores are lent twice: the jobs of tests are small.
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
PlugStackConfig={folder}/plugstack.conf
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=NO
PartitionName=other Nodes=ALL Default=NO MaxTime=60 State=UP OverSubscribe=NO
"""


def missing() -> str:
    """Why no cluster can be started here; "" if one can."""
    absent = [name for name in DAEMONS if _daemon(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "the daemons need root"


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster in an empty folder; yields the environment in which commands find it, and ends all of it.

    Raises:
        RuntimeError: it cannot be started; the message ends with the last lines of the daemons' logs.
    """
    if why := missing():
        raise RuntimeError(why)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(64))
    key.chmod(0o600)
    (folder / "plugstack.conf").touch()
    controller, node = _free_ports(2)
    cpus = 2 * len(os.sched_getaffinity(0))
    host = socket.gethostname().partition(".")[0]
    text = CONF.format(host=host, folder=folder, controller=controller, node=node, cpus=cpus)
    (folder / "slurm.conf").write_text(text)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("key-file", "pid-file", "log-file")]
    munge += [f"--socket={folder}/munge.socket", f"--seed-file={folder}/munge.seed"]
    commands = (
        ("munged", "--foreground", "--force", *munge),
        ("slurmctld", "-D", "-i", "-f", f"{folder}/slurm.conf"),
        ("slurmd", "-D", "-N", host, "-f", f"{folder}/slurm.conf"),
    )
    started: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "daemons.log").open("wb") as log:
            for name, *arguments in commands:
                command = [str(_daemon(name)), *arguments]
                started.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
                if name == "munged":
                    _wait_for((folder / "munge.socket").exists, started, folder)
            _wait_for(lambda: _idle(environment), started, folder)
        yield environment
    finally:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # jobs that a test left must not outlive it
            subprocess.run(["scancel", "--user=root"], env=environment, timeout=20, capture_output=True)
            _wait_for(lambda: not _queue(environment), started, folder, 20)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _daemon(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _answer(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    return done.stdout.strip() if done.returncode == 0 else ""


def _idle(environment: dict[str, str]) -> bool:
    return _answer(environment, "sinfo", "--noheader", "--format=%T", "--partition=tests") == "idle"


def _queue(environment: dict[str, str]) -> str:
    return _answer(environment, "squeue", "--noheader")


def _wait_for(condition, started: Sequence[subprocess.Popen[bytes]], folder: Path, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or any(process.poll() is not None for process in started):
            files = [file for file in sorted(folder.glob("*.log")) if file.stat().st_size]
            tails = (f"{file.name}: {file.read_text(errors='replace')[-2000:]}" for file in files)
            raise RuntimeError("no cluster came up\n" + "\n".join(tails))
        time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """Run a command with a cluster; returns its exit code."""
    if not arguments:
        print(__doc__)
        return 2
    scratch = tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)
    with scratch as folder, cluster(Path(folder)) as environment:
        return subprocess.run(arguments, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
