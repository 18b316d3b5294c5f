"""What a result was made with: recorded beside it, never part of its key."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch

import mtlrepro
from mtlrepro.errors import StoreError
from mtlrepro.files import read_json, write_json

FILE = "env.json"
DECISIVE = ("torch", "timm", "numpy", "transformers", "cuda")
"""What a training is not continued under another version of."""

PACKAGES = ("torch", "timm", "numpy", "scipy", "numba", "pillow", "safetensors")
EXTRAS = ("transformers",)
"""Packages that some networks are made with, named where they are installed."""


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Flat name -> text: Python, packages, CPU, GPU, operating system, and the program's commit if it is a checkout."""
    env = {"mtlrepro": mtlrepro.__version__, "python": platform.python_version()}
    env |= {name: importlib.metadata.version(name) for name in PACKAGES}
    for name in EXTRAS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            env[name] = importlib.metadata.version(name)
    env |= {"os": f"{platform.system()} {platform.release()}", "cpu": _cpu(), "cores": str(os.cpu_count())}
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    env["gpu"] = ", ".join(gpus) or "none"
    if gpus:
        env["cuda"], env["cudnn"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
    env["commit"] = _commit()
    return env


def record_environment(directory: Path, resumes: bool, also: Mapping[str, str] | None = None) -> None:
    """Write the env.json of a run: `environment()` and the hosts that work on it, in order, as "host".

    A run that is resumed keeps what it was begun with; other hardware is added as "resumed on".

    Args:
        directory: the run's.
        resumes: whether there is a checkpoint to go on from.
        also: what else a run's arithmetic depends on.

    Raises:
        StoreError: the run was begun under another version of what decides its numbers, or the file cannot be read
            or written.
    """
    path, here, host = directory / FILE, {**environment(), **(also or {})}, socket.gethostname()
    if not (resumes and path.exists()):
        write_json(path, {**here, "host": host})
        return
    begun = read_json(path, f"Delete the folder {directory} to train this run from its start")
    hosts = begun.get("host", "an unknown host")
    for name in DECISIVE:
        then, now = (env.get(name, "none") for env in (begun, here))
        both_or_cuda = "none" not in (then, now) or name == "cuda"  # a package that is missing is told by who needs it
        if then != now and both_or_cuda:
            problem = f"begun with {name} {then} on {hosts}; this is {name} {now} on {host}"
            mend = f"Finish it with {name} {then}, or delete the folder {directory} to train it from its start"
            raise StoreError(problem, file=path, field=name, mend=mend)
    if host != hosts.split(", ")[-1]:
        begun["host"] = f"{hosts}, {host}"
    hardware, last = _hardware(here), begun.get("resumed on", _hardware(begun)).split("; ")[-1]
    if hardware != last:
        begun["resumed on"] = "; ".join(filter(None, [begun.get("resumed on", ""), hardware]))
    write_json(path, begun)


def _hardware(env: Mapping[str, str]) -> str:
    gpu = env.get("gpu", "none")
    return f"{env.get('cpu', 'unknown')}, {env.get('cores', 'some')} cores" if gpu == "none" else gpu.split(", ")[0]


def command() -> str:
    """The command line of this process."""
    return " ".join(["pytest" if "pytest" in sys.argv[0] else "mtlrepro", *map(shlex.quote, sys.argv[1:])])


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    here = Path(__file__).resolve().parents[2]
    try:
        if Path(_git(here, "rev-parse", "--show-toplevel")) != here:  # installed inside somebody else's checkout
            return "unknown (not a checkout)"
        head, changed = _git(here, "rev-parse", "HEAD"), _git(here, "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a checkout)"
    return f"{head[:12]}{' + local changes' if changed else ''}"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
