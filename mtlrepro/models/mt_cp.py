"""MT-CP (Fontana, Spratling and Shi, WACV 2025): coherence fusion between tasks, then a trace back through the scales.

Every task processes the map that the backbone shares in a hierarchy of its own. The parts have files of their own:
`mtlrepro.models.feature_transformer`, `pyramid_fusion`, `coherence` and `trace_back`. Where paper and public reference
implementation differ, the implementation is followed, without those of its layers that nothing reads. It has no
switches for the ablations of table 3; those here are derived from the paper's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.base import Backbone
from mtlrepro.models.cbam import CBAM, MOMENTUM
from mtlrepro.models.coherence import CoherenceFusion
from mtlrepro.models.feature_transformer import FeatureTransformer
from mtlrepro.models.layers import resize
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.pyramid_fusion import PyramidFusion
from mtlrepro.models.trace_back import TraceBack

STRIDE = 4
"""Stride of the map that all tasks share."""


def _enlarge(factor: int) -> nn.Upsample:
    """Bilinear, corner pixels onto corner pixels; every later resizing is of half-pixel centres."""
    return nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=True)


@dataclass(frozen=True)
class Head:
    """A prediction: 1x1 convolutions that keep the width, batch norm, ReLU, a 1x1 convolution to the task's channels.

    Attributes:
        convolutions: number of those before the batch norm; they have no bias.
        enlarged: factor by which the prediction is enlarged, corner to corner.
    """

    convolutions: int = 1
    enlarged: int = 1

    def build(self, width: int, outputs: int) -> nn.Sequential:
        """The layers for maps of `width` channels."""
        mix = [nn.Conv2d(width, width, 1, bias=False) for _ in range(self.convolutions)]
        head = nn.Sequential(*mix, nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, outputs, 1))
        return head if self.enlarged == 1 else head.append(_enlarge(self.enlarged))


@dataclass(frozen=True)
class NarrowingHead:
    """A prediction by three 1x1 convolutions with bias, the second one after enlarging twice and before a ReLU.

    Attributes:
        parts: of how many equal parts of the width the first and the second have one; (2, 8) makes 128, then 32 of 256.
    """

    parts: tuple[int, int] = (2, 8)

    def build(self, width: int, outputs: int) -> nn.Sequential:
        """The layers for maps of `width` channels."""
        first, second = (max(1, width // part) for part in self.parts)
        narrow = nn.Conv2d(width, first, 1), _enlarge(2), nn.Conv2d(first, second, 1)
        return nn.Sequential(*narrow, nn.ReLU(), nn.Conv2d(second, outputs, 1))


@dataclass(frozen=True)
class TaskHeads:
    """The heads of one task.

    Attributes:
        final: of its final prediction.
        side: of each of its intermediate predictions.
        alone: of the single-task network.
    """

    final: Head | NarrowingHead = Head()
    side: Head = Head()
    alone: Head | NarrowingHead = Head()


TWICE, FOURFOLD, DEEP = Head(enlarged=2), Head(enlarged=4), Head(convolutions=2)


def head_sets(narrowing: tuple[int, int]) -> dict[str, dict[str, TaskHeads]]:
    """Published set -> task -> heads. Tasks that a set does not have get the plainest heads, `TaskHeads()`."""
    narrow = NarrowingHead(narrowing)
    return {
        "nyud": {
            "semseg": TaskHeads(final=TWICE, side=DEEP, alone=TWICE),
            "depth": TaskHeads(final=narrow, side=DEEP, alone=narrow),
            "normals": TaskHeads(side=DEEP, alone=TWICE),
        },
        "pascal": {
            "semseg": TaskHeads(final=FOURFOLD, side=DEEP, alone=FOURFOLD),
            "parts": TaskHeads(final=FOURFOLD, alone=FOURFOLD),
            "saliency": TaskHeads(),
        },
    }


def _heads(name: str, tasks: Sequence[str], narrowing: tuple[int, int]) -> dict[str, TaskHeads]:
    whole = isinstance(narrowing, tuple) and all(type(part) is int and part > 0 for part in narrowing)
    if not whole or len(narrowing) != 2:
        raise SpecError(f"cannot be {narrowing!r}", field="narrowing", mend="Give two whole numbers of at least 1")
    sets = head_sets(narrowing)
    if name not in sets:
        raise unknown("set of heads", name, sets, field="heads")
    return {task: sets[name].get(task, TaskHeads()) for task in tasks}


class Heads(nn.ModuleDict):
    """The heads of several tasks, by task."""

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every task's prediction from its features (B, C, h, w)."""
        return {task: head(features[task]) for task, head in self.items()}


def _check_backbone(backbone: Backbone) -> None:
    if backbone.strides[0] != STRIDE:
        problem = f"MT-CP works on a map of stride {STRIDE}, the backbone's first has stride {backbone.strides[0]}"
        mend = "Name 'mask2former_swin_s', 'mask2former_nano' or an HRNet"
        raise SpecError(problem, field="model.backbone", mend=mend)


class MTCP(nn.Module):
    """The multi-task network (figure 2).

    Of the backbone's maps the first one, of stride 4, is read; all widths follow from its number of channels, which is
    256 for the published backbone.

    Args:
        backbone: the shared encoder.
        main: the tasks; a task's coherence fusion reads the others in this order.
        channels: output channels of every task.
        cfm: whether tasks read each other by coherence fusion (section 3.3); without it, each task's trace back starts
            from its own fused features.
        srm: whether the final predictions are made by tracing back through the scales with spatial refinement (section
            3.4); without it, they are made where the trace would start, and there are no intermediate predictions.
        heads: published set of prediction heads, "nyud" or "pascal".
        narrowing: see `NarrowingHead.parts`.
        gate_momentum: of the batch norms in the gates (`CBAM`), above 0 and at most 1. At 0.01 their running averages
            take some hundred steps to follow.

    Raises:
        SpecError: for a single task with coherence fusion, a backbone whose first map is not of stride 4 or of an odd
            number of channels, an unknown set of heads, parts that are not two whole numbers, a momentum out of range,
            and for switches that are not true or false.
    """

    front_end: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        cfm: bool = True,
        srm: bool = True,
        heads: str = "nyud",
        narrowing: tuple[int, int] = (2, 8),
        gate_momentum: float = MOMENTUM,
    ):
        super().__init__()
        _check_backbone(backbone)
        if isinstance(gate_momentum, bool) or not isinstance(gate_momentum, int | float) or not 0 < gate_momentum <= 1:
            raise SpecError(f"cannot be {gate_momentum!r}", field="gate_momentum", mend="Give a number in (0, 1]")
        for name, switch in (("cfm", cfm), ("srm", srm)):
            if not isinstance(switch, bool):
                raise SpecError(f"cannot be {switch!r}", field=name, mend="Give true or false")
        if cfm and len(main) < 2:
            mend = "Name two or more tasks, switch cfm off, or choose architecture 'mt_cp_single'"
            raise SpecError(f"coherence fusion needs other tasks, got {tuple(main)}", field="model.main", mend=mend)
        kinds, width = _heads(heads, main, narrowing), backbone.channels[0]
        transformers = {task: FeatureTransformer(width) for task in main}
        widths = transformers[main[0]].widths
        self.backbone = backbone
        self.transformers = nn.ModuleDict(transformers)
        self.fusions = nn.ModuleDict({task: PyramidFusion(widths, width) for task in main})
        self.coherence = nn.ModuleDict({task: CoherenceFusion(width, len(main) - 1) for task in main} if cfm else {})
        self.traces = nn.ModuleDict({task: TraceBack(width, widths) for task in main} if srm else {})
        self.sides = nn.ModuleDict(
            {
                f"trace_{place}": Heads({task: kinds[task].side.build(width, channels[task]) for task in main})
                for place in range(1, len(widths) if srm else 1)
            }
        )
        self.heads = Heads({task: kinds[task].final.build(width, channels[task]) for task in main})
        for gate in (module for module in self.modules() if isinstance(module, CBAM)):
            gate.set_momentum(gate_momentum)

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W).

        Stages `"trace_1"` (1/16 of the image's resolution) and `"trace_2"` (1/8) hold the intermediate predictions of
        every task, `features` the shared map, `pairs` the two branches that each task's coherence fusion merges.
        """
        shared = self.backbone(image)[0]
        scales = {task: transformer(shared) for task, transformer in self.transformers.items()}
        features = {task: fusion(scales[task]) for task, fusion in self.fusions.items()}
        read, pairs = dict(features), {}
        for task, fuse in self.coherence.items():
            others = [features[other] for other in features if other != task]
            read[task], pairs[task] = fuse(features[task], others)
        traced = {task: trace(read[task], scales[task]) for task, trace in self.traces.items()}
        stages = {
            name: heads({task: maps[place] for task, maps in traced.items()})
            for place, (name, heads) in enumerate(self.sides.items())
        }
        read |= {task: maps[-1] for task, maps in traced.items()}
        final = {task: resize(prediction, image.shape[-2:]) for task, prediction in self.heads(read).items()}
        return Outputs(final, stages, [shared], pairs)


class SingleMTCP(nn.Module):
    """The single-task baseline "STL" of MT-CP: the head reads the first stage of the task's feature transformer.

    The public reference implementation computes the other stages, too, and drops them; here they are not built.

    Args:
        backbone: the encoder.
        main: the one task.
        channels: output channels of every task.
        heads: published set of prediction heads, "nyud" or "pascal".
        narrowing: see `NarrowingHead.parts`.

    Raises:
        SpecError: for more than one task, an unknown set of heads, parts that are not two whole numbers, and for a
            backbone whose first map is not of stride 4 or of an odd number of channels.
    """

    front_end: ClassVar[bool] = False
    single_task: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        heads: str = "nyud",
        narrowing: tuple[int, int] = (2, 8),
    ):
        super().__init__()
        _check_backbone(backbone)
        if len(main) != 1:
            mend = "Use one spec a task, or architecture 'mt_cp'"
            raise SpecError(f"a single-task network cannot predict {tuple(main)}", field="model.main", mend=mend)
        ((self.task, kind),) = _heads(heads, main, narrowing).items()
        width = backbone.channels[0]
        self.backbone = backbone
        self.transformer = FeatureTransformer(width, depths=(1,), heads=(2,))
        self.head = kind.alone.build(width, channels[self.task])

    def forward(self, image: Tensor) -> Outputs:
        """The prediction of an image (B, 3, H, W); there are no intermediate stages, `features` is the map read."""
        features = self.backbone(image)[:1]
        (refined,) = self.transformer(features[0])
        return Outputs({self.task: resize(self.head(refined), image.shape[-2:])}, features=features)
