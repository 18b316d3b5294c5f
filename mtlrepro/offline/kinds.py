"""What `mtlrepro eval` can judge: for every task what its files hold, its options, and how its metrics are built."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mtlrepro.errors import SpecError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.boundary.counts import MODES
from mtlrepro.metrics.boundary.truth import READINGS
from mtlrepro.metrics.odsf import BoundaryF
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.offline import doubts, readers
from mtlrepro.offline.files import Pair
from mtlrepro.offline.readers import Stored

Options = argparse.Namespace


@dataclass(frozen=True)
class Kind:
    """One task.

    Attributes:
        summary: a line of help.
        stored: what its files hold, for the help.
        prediction, truth: read a file to a tensor with a batch axis.
        ignore: stored truth values that usually mean no label.
        add_arguments: declares the task's own options.
        arguments: options and protocol -> what the protocol's metric is built with.
        doubts: what the files, stored as the two say, give reason to say.
    """

    summary: str
    stored: str
    prediction: Callable[[Path, Stored], Tensor]
    truth: Callable[[Path, Stored], Tensor]
    ignore: tuple[float, ...] = ()
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    arguments: Callable[[Options, str], dict[str, Any]] = lambda options, protocol: {}
    doubts: Callable[[Sequence[Pair], Stored, Stored], list[str]] = lambda pairs, prediction, truth: []


def make(options: Options, protocol: str, **changes: Any) -> Metric:
    """A fresh metric for what the options ask."""
    return PROTOCOLS[options.task][protocol](**KINDS[options.task].arguments(options, protocol) | changes)


def stored(options: Options, side: str) -> Stored:
    """How the maps of a side, "pred" or "gt", are stored."""
    return Stored(
        key=getattr(options, f"{side}_key"),
        offset=getattr(options, f"{side}_offset", 0),
        unit=getattr(options, f"{side}_unit", None),
        ignore=tuple(options.ignore) if side == "gt" else (),
        reading=reading(options) if options.task == "edges" else "as-is",
    )


def reading(options: Options) -> str:
    """How boundary truths are read: as asked, or as the protocols have it.

    Raises:
        SpecError: the protocols do not agree.
    """
    classes = [PROTOCOLS["edges"][p] for p in options.protocol]
    ways = {options.truth or (c.pipeline.truth if issubclass(c, BoundaryF) else "as-is") for c in classes}
    if len(ways) > 1:
        mend = "Choose one for all with --truth, or ask for the protocols one by one"
        raise SpecError(f"these read the truth as {' and '.join(sorted(ways))}", field="--protocol", mend=mend)
    return ways.pop()


def _boundary_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-dist",
        type=float,
        default=0.0075,
        metavar="FRACTION",
        help="tolerance as a fraction of the diagonal: 0.0075 (default) on BSDS500 and PASCAL-Context, 0.011 on NYUD",
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default=MODES[0],
        help="expected (default): as the public matcher on average, to compare with published figures; "
        "exact: the definition, up to 0.25 points higher",
    )
    parser.add_argument(
        "--truth",
        choices=tuple(READINGS),
        help="contour: borders of the segments of a label map; thin: thinned mask; as-is: every nonzero pixel "
        "(default: as the protocol has it)",
    )
    parser.add_argument("--thresholds", type=int, metavar="N", help="N equal steps instead of the protocol's")
    parser.add_argument("--odsf-only", action="store_true", help="only odsF, searching thresholds coarse to fine")


def _boundary_arguments(options: Options, protocol: str) -> dict[str, Any]:
    n = options.thresholds
    if n is not None and n < 1:
        raise SpecError(f"{n} thresholds", field="--thresholds", mend="Give 1 or more")
    if not 0 < options.max_dist < 1:
        mend = "Give a fraction of the diagonal, such as 0.0075"
        raise SpecError(f"{options.max_dist:g}", field="--max-dist", mend=mend)
    if not issubclass(PROTOCOLS["edges"][protocol], BoundaryF):
        return {}
    # The file's reader makes boundaries of the truth: there a label map still has all its labels.
    chosen = {"max_dist": options.max_dist, "mode": options.mode, "truth": "as-is"}
    return chosen | ({"thresholds": tuple(k / (n + 1) for k in range(1, n + 1))} if n else {})


def _class_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classes", type=int, required=True, help="number of classes")
    parser.add_argument("--class-names", nargs="+", metavar="NAME", help="their names, for iou/class@1")
    _offsets(parser)


def _part_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classes", type=int, default=7, help="number of classes with background (default 7)")
    _offsets(parser)


def _offsets(parser: argparse.ArgumentParser) -> None:
    for side, what in (("pred", "predicted"), ("gt", "true")):
        text = f"added to {what} ids: -1 where classes are stored from 1 on (default 0)"
        parser.add_argument(f"--{side}-offset", type=int, default=0, metavar="N", help=text)


def _class_arguments(options: Options, protocol: str) -> dict[str, Any]:
    classes = options.classes
    if not 1 <= classes <= readers.IGNORE:
        raise SpecError(f"{classes} classes", field="--classes", mend=f"Give 1 to {readers.IGNORE}")
    names = getattr(options, "class_names", None) or [f"class_{i}" for i in range(classes)]
    if len(names) != classes:
        raise SpecError(f"{len(names)} names of {classes} classes", field="--class-names", mend="Name each class")
    return {"names": tuple(names)} if protocol == "iou/class@1" else {"classes": classes}


def _depth_arguments(options: Options, protocol: str) -> dict[str, Any]:
    for side in ("pred", "gt"):
        unit = getattr(options, f"{side}_unit")
        if unit is not None and not 0 < unit < math.inf:
            raise SpecError(f"{unit:g} metres", field=f"--{side}-unit", mend="Give 0.001 for millimetres")
    return {}


def _depth_options(parser: argparse.ArgumentParser) -> None:
    for side in ("pred", "gt"):
        parser.add_argument(f"--{side}-unit", type=float, metavar="M", help="metres a stored 1 stands for")


KINDS: dict[str, Kind] = {
    "semseg": Kind(
        "semantic segmentation: mIoU, IoU by class, accuracies",
        "class ids: 8-bit PNG, .npy or .mat",
        readers.read_classes,
        readers.read_classes,
        ignore=(255,),
        add_arguments=_class_options,
        arguments=_class_arguments,
    ),
    "depth": Kind(
        "depth: rmse, log rmse, absolute and relative error, δ accuracies",
        "depths: .npy or .mat in metres, or 8- or 16-bit PNG with a unit; 0 in the truth is invalid",
        readers.read_depth,
        readers.read_depth,
        add_arguments=_depth_options,
        arguments=_depth_arguments,
    ),
    "normals": Kind(
        "surface normals: mean, median and rms angle, shares below 11.25, 22.5 and 30 degrees",
        "vectors: .npy or .mat (H, W, 3), or RGB PNG of (n + 1) / 2 * 255; a zero vector in the truth is invalid",
        readers.read_normals,
        readers.read_normals,
    ),
    "edges": Kind(
        "boundaries: odsF, oisF and AP by the BSDS protocol, without MATLAB",
        "predictions 0 to 255 in PNG, 0 to 1 in .npy or .mat; truths are label maps or masks "
        "(PASCAL-Context's LabelMap, BSDS500's groundTruth with its annotators)",
        readers.read_probability,
        readers.read_boundaries,
        add_arguments=_boundary_options,
        arguments=_boundary_arguments,
        doubts=doubts.of_boundaries,
    ),
    "saliency": Kind(
        "saliency: maximum F, or mIoU at the best threshold",
        "predictions 0 to 255 in PNG, 0 to 1 in .npy or .mat; truths 0 and 1, or 0 and 255",
        readers.read_probability,
        readers.read_mask,
        doubts=doubts.of_probabilities,
    ),
    "parts": Kind(
        "human parts: mIoU with background, images without a person left out",
        "class ids: 8-bit PNG, .npy or .mat",
        readers.read_classes,
        readers.read_classes,
        ignore=(255,),
        add_arguments=_part_options,
        arguments=_class_arguments,
    ),
}
