"""What a result was made with: recorded beside it, never part of its key."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import torch

import mtlrepro

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
