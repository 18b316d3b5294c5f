"""Same spec, same machine, same numbers, bit for bit.

Every random draw of a run is a function of the seed and a purpose (and the step), never of what was drawn
before. So a run resumed at any step needs no generator state, and evaluating or logging cannot disturb it.
"""

from __future__ import annotations

import hashlib
import os

import torch
import torch.utils.deterministic

from mtlrepro.errors import SpecError


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose of one run, independent of all others.

    Example:
        >>> derive(0, "init") != derive(0, "step", 1) != derive(1, "init")
        True
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators that a step on `device` can draw from.

    `torch.manual_seed` would also seed every other device, which takes longer than the rest of the loop.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def open_device(name: str) -> torch.device:
    """A device that this machine has.

    Raises:
        SpecError: unknown name, or no such CUDA device.
    """
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise SpecError(f"unknown device {name!r}", field="device", mend="Use cpu, cuda, or cuda:<number>")
    gpus = torch.cuda.device_count()
    if kind == "cuda" and int(index or 0) >= gpus:
        raise SpecError(f"no device {name!r}: {gpus} CUDA GPUs are visible", field="device", mend="Use cpu")
    return torch.device(name)


def make_deterministic(device: torch.device) -> None:
    """Select deterministic kernels; on CPU also one thread, so that results do not depend on the core count.

    One thread a process is also the fastest way to fill a CPU with small networks: the launcher starts one
    process a core.
    """
    if device.type == "cpu":
        torch.set_num_threads(1)
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A debugging aid that costs 5 % of a small step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
