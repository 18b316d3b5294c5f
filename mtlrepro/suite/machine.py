"""Names of machines: results of one are recorded in a folder of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping


def machine(environment: Mapping[str, str]) -> str:
    """The name of the machine that an environment describes: its GPU, or its CPU and number of cores.

    Example:
        >>> machine({"gpu": "NVIDIA H200, NVIDIA H200", "cpu": "AMD EPYC", "cores": "16"})
        'nvidia-h200'
        >>> machine({"gpu": "none", "cpu": "AMD EPYC", "cores": "2"})
        'amd-epyc-2-cores'
    """
    gpus = environment.get("gpu", "none")
    names = dict.fromkeys(gpus.split(", "))  # a run takes one GPU, however many there are
    cpu, cores = environment.get("cpu", "unknown"), environment.get("cores", "some")
    text = f"{cpu} {cores} cores" if gpus == "none" else " ".join(names)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unknown"
