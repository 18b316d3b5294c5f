"""Pretrained backbone weights: pinned, strict, and from a folder where there is no network.

A tag such as `hrnet_w18_small_v2.ms_in1k` names one training of one network on timm's hub; the part after the dot
matters, since timm's default tag may be another training. A tag with a slash, such as
`facebook/mask2former-swin-small-ade-semantic`, is a repository of the hub as it is. Nothing pickled is ever executed.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mtlrepro.errors import DataError

FOLDER_VARIABLE = "MTLREPRO_WEIGHTS"
HEAD_PREFIXES = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", "fc.")
"""Name prefixes of the classification head of an HRNet or a ResNet: the tensors that a dense model has no use for.

A backbone of another family has a method `adapt(tensors)` that gives a checkpoint's tensors as the backbone has them.
"""

COUNTER = ".num_batches_tracked"
"""Batch norm's step counter, unused with a fixed momentum; older checkpoints do not have it."""


@dataclass(frozen=True)
class WeightsReport:
    """What was loaded.

    Attributes:
        tag: pinned tag.
        source: file, or hub address, the tensors came from.
        matched: tensors copied into the backbone.
        dropped: tensors that the backbone has no use for, those of the classification head above all, left out.
        defaulted: step counters of batch norms that the checkpoint lacks and that stay 0.
    """

    tag: str
    source: str
    matched: int
    dropped: int
    defaulted: int


def load_weights(backbone: nn.Module, tag: str, folder: str | Path | None = None) -> WeightsReport:
    """Load pinned weights into a backbone, all or nothing.

    Args:
        backbone: module whose state-dict keys are those of the checkpoint without its classification head. Learned
            positions are resized to those of the backbone.
        tag: pinned tag, for example `hrnet_w48.ms_in1k`.
        folder: holds `<tag>.safetensors` or `<tag>.pth`, in a sub-folder where the tag has a slash; by default the
            environment variable `MTLREPRO_WEIGHTS`, and the hub where that is not set either.

    Returns:
        What was copied and what was left out.

    Raises:
        DataError: if the file is missing or unreadable, the hub out of reach, or if a tensor is missing, unexpected, of
            another shape or not finite. The backbone is unchanged then.
    """
    folder = folder or os.environ.get(FOLDER_VARIABLE)
    source, tensors = _from_folder(tag, Path(folder)) if folder else _from_hub(tag)
    adapt: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = getattr(backbone, "adapt", without_head)
    try:
        kept = adapt(tensors)
    except DataError as error:
        raise DataError(error.problem, file=source, field=error.field, mend=error.mend) from error
    state = backbone.state_dict()
    missing = [name for name in state if name not in kept and not name.endswith(COUNTER)]
    mend = f"Replace it by the checkpoint of {tag}"
    for name in missing:
        raise DataError(f"tensor is missing ({len(missing)} in all)", file=source, field=name, mend=mend)
    for name, tensor in kept.items():
        if name not in state:
            raise DataError("no such tensor in the backbone", file=source, field=name, mend=mend)
        if tensor.shape != state[name].shape:
            shapes = f"shape {tuple(tensor.shape)}, expected {tuple(state[name].shape)}"
            raise DataError(shapes, file=source, field=name, mend=mend)
        if not torch.isfinite(tensor).all():
            raise DataError("values are not finite", file=source, field=name, mend=mend)
    backbone.load_state_dict({**state, **kept})
    return WeightsReport(tag, str(source), len(kept), len(tensors) - len(kept), len(state) - len(kept))


def without_head(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a convolutional network's checkpoint without those of its classification head."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD_PREFIXES)}


def _from_folder(tag: str, folder: Path) -> tuple[Path, Mapping[str, Tensor]]:
    safe, pickled = folder / f"{tag}.safetensors", folder / f"{tag}.pth"
    try:
        if safe.exists():
            return safe, load_file(safe)
        if pickled.exists():
            return pickled, _tensors(torch.load(pickled, map_location="cpu", weights_only=True), pickled)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError, OSError) as error:
        file, reason = safe if safe.exists() else pickled, type(error).__name__
        raise DataError(f"cannot be read as tensors ({reason})", file=file, mend="Fetch it again") from error
    raise DataError(
        f"neither {tag}.safetensors nor {tag}.pth is there",
        file=folder,
        mend=f"Put one there, or point {FOLDER_VARIABLE} at the folder that has it",
    )


def _tensors(value: Any, file: Path) -> Mapping[str, Tensor]:
    if isinstance(value, Mapping) and all(isinstance(t, Tensor) for t in value.values()):
        return value
    raise DataError(f"holds a {type(value).__name__}, not tensors by name", file=file, mend="Save a plain state dict")


def _from_hub(tag: str) -> tuple[str, Mapping[str, Tensor]]:
    from timm.models import load_state_dict_from_hf

    address = tag if "/" in tag else f"timm/{tag}"
    try:
        return address, load_state_dict_from_hf(address, weights_only=True)
    except Exception as error:  # the hub client has no common base class for its failures
        raise DataError(
            f"the hub did not serve weights {tag} ({type(error).__name__})",
            file=address,
            mend=f"Download them elsewhere as {tag}.safetensors and point {FOLDER_VARIABLE} at the folder of that",
        ) from error
