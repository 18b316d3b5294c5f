"""Checkpoints: one safetensors file with weights, optimizer state and position; loading executes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mtlrepro.engine.optim import Optimizer, optimizers_of
from mtlrepro.errors import StoreError
from mtlrepro.files import check_fences

SCHEMA_VERSION = 1
MEND = "Delete the file to train this run again from the start"
FINISHED_MEND = "Delete the folder to train that run again"

WEIGHTING = "weighting."
"""Prefix of what an objective's weighting has learned of its own run."""


@dataclass(frozen=True)
class Position:
    """How far a run has come.

    Attributes:
        step: optimizer steps done.
        seconds: time spent so far, by kind; a resumed run goes on counting.
    """

    step: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def save(path: Path, model: nn.Module, objective: nn.Module, optimizer: Optimizer, position: Position) -> None:
    """Write atomically (temporary file, then rename): a kill leaves the old checkpoint or the new one.

    Args:
        path: target file.
        model: its parameters and buffers are stored.
        objective: an objective may own parameters; they are stored too.
        optimizer: per-parameter tensors and scalars are stored; the learning rate is a function of the step.
        position: see `Position`.

    Raises:
        StoreError: if the disk is full or read-only, or the folder is somebody else's by now; the old checkpoint stays
            then.
    """
    tensors, scalars = _flatten(model, objective, optimizer)
    meta = {
        "schema_version": str(SCHEMA_VERSION),
        "position": json.dumps({"step": position.step, "seconds": position.seconds}, sort_keys=True),
        "optimizer": json.dumps(scalars, sort_keys=True),
    }
    meta["crc32"] = str(_crc(tensors, meta))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # process numbers repeat between hosts
    try:
        save_file(tensors, temporary, metadata=meta)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut could leave a renamed, empty file
        check_fences(path)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        mend = "Free disk space or choose another --runs folder"
        raise StoreError(f"cannot write the checkpoint: {error}", file=path, mend=mend) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path, model: nn.Module, objective: nn.Module, optimizer: Optimizer | None = None) -> Position:
    """Restore what `save` stored, all or nothing of model and objective, and return the position.

    Raises:
        StoreError: truncated or altered file, another schema version, or tensors that do not fit.
    """
    tensors, meta = read(path)
    modules = {"model": model, "objective": objective}
    states = {part: _part(tensors, part) for part in modules}
    for part, module in modules.items():
        _check_fit(path, part, states[part], module.state_dict())
    if optimizer is not None:
        _restore_optimizer(path, optimizer, _part(tensors, "optimizer"), json.loads(meta["optimizer"]))
    for part, module in modules.items():
        module.load_state_dict(states[part])
    return Position(**json.loads(meta["position"]))


def load_model(path: Path, model: nn.Module) -> None:
    """Restore the network alone, for a run that only needs its predictions.

    Raises:
        StoreError: no such file, or as for `load`.
    """
    if not path.is_file():
        raise StoreError("no checkpoint of a run that another one needs", file=path, mend=FINISHED_MEND)
    with _finished():
        tensors, _ = read(path)
        state = _part(tensors, "model")
        _check_fit(path, "model", state, model.state_dict())
    model.load_state_dict(state)


def start(path: Path, model: nn.Module, objective: nn.Module, tasks: Sequence[str], taught: Sequence[str]) -> int:
    """Give a network and its objective the tensors of a finished run, as far as names and shapes agree.

    Where the run had a single task, what belongs to each task starts from what belonged to that one. Loss weights and
    their history start anew.

    Args:
        path: the run's checkpoint.
        model: receives, as `objective` does.
        objective: may own parameters.
        tasks: those of the model.
        taught: those of the finished run.

    Returns:
        How many tensors were taken.

    Raises:
        StoreError: no such file, as for `load`, or no tensor fits.
    """
    if not path.is_file():
        raise StoreError("no checkpoint of a run that another one starts from", file=path, mend=FINISHED_MEND)
    with _finished():
        tensors, _ = read(path)
    taken = 0
    for part, module in {"model": model, "objective": objective}.items():
        state = {k: v for k, v in module.state_dict().items() if not k.startswith(WEIGHTING)}
        found = {name: tensors.get(f"{part}.{_renamed(name, tasks, taught)}") for name in state}
        fitting = {name: v for name, v in found.items() if v is not None and v.shape == state[name].shape}
        module.load_state_dict(module.state_dict() | fitting)
        taken += len(fitting)
    if not taken:
        mend = "Start from a run with the same backbone"
        raise StoreError("holds no tensor that fits the run that starts from it", file=path, mend=mend)
    return taken


@contextlib.contextmanager
def _finished() -> Iterator[None]:
    """A run counts as finished by its result: to train it again, more has to go than its checkpoint."""
    try:
        yield
    except StoreError as error:
        raise StoreError(error.problem, file=error.file, field=error.field, mend=FINISHED_MEND) from error


def _renamed(name: str, tasks: Sequence[str], taught: Sequence[str]) -> str:
    return ".".join(taught[0] if len(taught) == 1 and word in tasks else word for word in name.split("."))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a checkpoint, with the integrity of both checked.

    Raises:
        StoreError: as for `load`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            # Copied: the file is memory-mapped, and must not stay open under a running training.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise StoreError(f"corrupt checkpoint: {error}", file=path, mend=MEND) from error
    version = meta.get("schema_version")
    if version != str(SCHEMA_VERSION):
        problem = f"schema version {version!r}, this program reads {SCHEMA_VERSION}"
        raise StoreError(problem, file=path, field="schema_version", mend=MEND)
    stored = meta.pop("crc32", None)
    if stored != str(_crc(tensors, meta)):
        problem = "corrupt checkpoint: the checksum does not match the contents"
        raise StoreError(problem, file=path, field="crc32", mend=MEND)
    return tensors, meta


def _flatten(model: nn.Module, objective: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"objective.{k}": v for k, v in objective.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            elif value is not None:  # SGD without momentum keeps a None
                scalars[f"{index}.{name}"] = value
    return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, scalars


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")}


def _check_fit(path: Path, part: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    for name in sorted(own.keys() | state.keys()):
        where = f"{part}.{name}"
        if name not in state or name not in own:
            problem = "missing" if name not in state else "unexpected"
            raise StoreError(f"{problem} tensor", file=path, field=where, mend=MEND)
        found, wanted = state[name], own[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            problem = f"{tuple(found.shape)} {found.dtype} does not fit {tuple(wanted.shape)} {wanted.dtype}"
            raise StoreError(problem, file=path, field=where, mend=MEND)


def _restore_optimizer(
    path: Path, optimizer: Optimizer, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]
) -> None:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *scalars.items()]:
        number, _, name = key.partition(".")
        index, where = int(number), f"optimizer.{key}"
        if index >= len(params):
            raise StoreError("unexpected tensor", file=path, field=where, mend=MEND)
        shape = params[index].shape
        if isinstance(value, Tensor) and value.ndim and value.shape != shape:
            problem = f"shape {tuple(value.shape)} does not fit {tuple(shape)}"
            raise StoreError(problem, file=path, field=where, mend=MEND)
        if isinstance(value, Tensor) and value.ndim:  # laid out as the parameter: fused kernels go through both at once
            value = torch.empty_like(params[index], dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(index, {})[name] = value
    for numbers in optimizers_of(optimizer):
        held = {index: state[index] for index in numbers if index in state}
        names = {name for entry in held.values() for name in entry}
        for index, entry in held.items():  # a parameter without a gradient has no state, any other has all of it
            for name in names - entry.keys():
                raise StoreError("missing tensor", file=path, field=f"optimizer.{index}.{name}", mend=MEND)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _crc(tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> int:
    """Checksum of everything that is restored: metadata, and names, types, shapes and bytes of the tensors."""
    crc = zlib.crc32(json.dumps(dict(meta), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc
