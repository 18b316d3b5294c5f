"""ATRC (Bruggemann et al., ICCV 2021): adaptive task-relational context on a multi-scale backbone.

Every pair of tasks, a task with itself among them, has a type of context of its own (`mtlrepro.models.relations`). The
authors found the types by a search and published what it found; the search is not built here. What the paper leaves
open, and all widths, follow the public reference implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.base import Backbone
from mtlrepro.models.deeplab import conv_norm
from mtlrepro.models.layers import concat_scales, resize
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.relations import RELATIONS, Relation, TaskMaps

NYUD = ("semseg", "depth", "normals", "edges")
PASCAL = ("semseg", "parts", "saliency", "normals", "edges")

Kinds = dict[str, dict[str, type[Relation]]]
"""Target -> source -> class of its context, "none" left out."""


def _published(tasks: Sequence[str], *rows: str) -> dict[str, dict[str, str]]:
    types = list(RELATIONS)
    return {
        target: {source: types[int(number)] for source, number in zip(tasks, row, strict=True)}
        for target, row in zip(tasks, rows, strict=True)
    }


# A row for every target, a number for every source: 0 none, 1 global, 2 local, 3 t-label, 4 s-label.
PUBLISHED: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "nyud_hrnet48": _published(NYUD, "3004", "4114", "4114", "3333"),
    "nyud_hrnet18": _published(NYUD, "3344", "4344", "4334", "3313"),
    "pascal_hrnet18": _published(PASCAL, "33404", "33434", "33343", "33334", "33313"),
}
"""What the authors' searches found: target -> source -> type."""

CLASSES: Mapping[str, int] = {"saliency": 2, "edges": 2, "depth": 40, "normals": 40}
"""Classes of a task's auxiliary map where they are not the classes that the task predicts: 40 ranges of depth and 40
directions of normals."""

CLASSIFIED = ("semseg", "parts")
"""Tasks whose auxiliary map has the classes that they predict."""

DROPOUT = 0.05
BN_MOMENTUM = 0.1
LOGITS_STD = 0.01


class Refinement(nn.Module):
    """A target's features with its context: mix([F_t, R_t]), where R_t joins what it gathers from every source.

    The batch norm of R_t has scale and shift zero at the start: no context has any influence before training.

    Args:
        kinds: source -> class of its context; empty for a target that only refines its own features.
        channels: width of all tasks' features and of the result.
        width: of a context.
    """

    def __init__(self, kinds: Mapping[str, type[Relation]], channels: int, width: int):
        super().__init__()
        self.contexts = nn.ModuleDict({source: kind(channels, width) for source, kind in kinds.items()})
        self.join: nn.Sequential | None = None
        if kinds:
            norm = nn.BatchNorm2d(channels)
            for parameter in norm.parameters():
                nn.init.zeros_(parameter)
            self.join = nn.Sequential(nn.Conv2d(len(kinds) * width, channels, 1, bias=False), norm)
        self.mix = nn.Sequential(conv_norm((1 + bool(kinds)) * channels, channels), nn.Dropout2d(DROPOUT))

    def forward(self, target: TaskMaps, tasks: Mapping[str, TaskMaps]) -> Tensor:
        """(B, channels, H, W) of what is known of the target and of all tasks."""
        features = target.features
        if self.join is not None:
            gathered = self.join(torch.cat([relate(target, tasks[s]) for s, relate in self.contexts.items()], dim=1))
            features = torch.cat([features, gathered], dim=1)
        return self.mix(features)


class ATRC(nn.Module):
    """Task features at the finest scale, auxiliary maps, context of every task in every other, predictions.

    Features are a quarter as wide as the backbone's maps joined, and contexts half as wide as features. Auxiliary maps
    are made for the tasks that some context needs them of; losses on them do not reach the backbone. Batch norms of the
    backbone get momentum 0.1.

    Args:
        backbone: the shared encoder.
        main: tasks with a final prediction.
        channels: output channels of every task.
        relations: the type of every context. Name of a published set ("nyud_hrnet48", "nyud_hrnet18",
            "pascal_hrnet18"), which must know all tasks; a type for all ("none", "global", "local", "t-label",
            "s-label"); or (target, (type for every source)) for every target, sources in the order of `main`.

    Raises:
        SpecError: for relations of other tasks or of unknown name, and for an auxiliary map of a task that has no
            classes.
    """

    front_end: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        relations: str | Sequence[tuple[str, Sequence[str]]] = "nyud_hrnet48",
    ):
        super().__init__()
        self.backbone = backbone
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BN_MOMENTUM
        kinds = relation_kinds(relations, main)
        joined = sum(backbone.channels)
        width = joined // 4
        self.task_features = nn.ModuleDict({task: conv_norm(joined, width, 3) for task in main})
        self.auxiliary = nn.ModuleDict(
            {
                task: nn.Sequential(conv_norm(joined, joined), _logits(joined, _classes(task, channels)))
                for task in _labelling(kinds)
            }
        )
        self.context = nn.ModuleDict({task: Refinement(kinds[task], width, width // 2) for task in main})
        self.heads = nn.ModuleDict({task: _logits(width, channels[task]) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W).

        Stage `"auxiliary"` holds logits (B, K_task, h, w) of the K classes of a task's auxiliary map at the finest
        scale, for the tasks that have one.
        """
        maps = self.backbone(image)
        joined = concat_scales(maps)
        shared = joined.detach()
        auxiliary = {task: predict(shared) for task, predict in self.auxiliary.items()}
        labels = {task: logits.flatten(2).softmax(dim=2) for task, logits in auxiliary.items()}
        tasks = {task: TaskMaps(block(joined), labels.get(task)) for task, block in self.task_features.items()}
        final = {
            task: resize(head(self.context[task](tasks[task], tasks)), image.shape[-2:])
            for task, head in self.heads.items()
        }
        return Outputs(final, stages={"auxiliary": auxiliary} if auxiliary else {}, features=maps)


def relation_kinds(relations: str | Sequence[tuple[str, Sequence[str]]], tasks: Sequence[str]) -> Kinds:
    """Target -> source -> class of context, of the option `relations` of `ATRC`; both in the order of `tasks`.

    Raises:
        SpecError: for relations of other tasks, of unknown name or of another form.
    """
    types = _named(relations, tasks) if isinstance(relations, str) else _given(relations, tasks)
    kinds = {target: {source: RELATIONS[types[target][source]] for source in tasks} for target in tasks}
    return {target: {s: kind for s, kind in of.items() if kind is not None} for target, of in kinds.items()}


def _named(relations: str, tasks: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    if relations in RELATIONS:
        return dict.fromkeys(tasks, dict.fromkeys(tasks, relations))
    if relations not in PUBLISHED:
        raise unknown("set of relations", relations, [*PUBLISHED, *RELATIONS], field="relations")
    known = PUBLISHED[relations]
    for task in tasks:
        if task not in known:
            raise unknown(f"task of the set {relations!r}:", task, known, field="relations")
    return known


def _given(relations: Sequence[tuple[str, Sequence[str]]], tasks: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    rows = relations if isinstance(relations, Sequence) else (relations,)
    if not all(isinstance(row, Sequence) and len(row) == 2 for row in rows):
        mend = f"Name a set or a type, or give (target, (type for every source)) for each of {', '.join(tasks)}"
        raise SpecError(f"{relations!r} are no relations", field="relations", mend=mend)
    targets = sorted(str(target) for target, _ in rows)
    if targets != sorted(tasks):
        problem = f"rows are those of {', '.join(targets) or 'no task'}"
        raise SpecError(problem, field="relations", mend=f"Give one row each for {', '.join(tasks)}")
    for target, row in rows:
        if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != len(tasks):
            mend = f"Give types in the order {', '.join(tasks)}"
            raise SpecError(f"{row!r} is not one type a source", field=f"relations.{target}", mend=mend)
        for kind in row:
            if str(kind) not in RELATIONS:
                raise unknown("type of context", str(kind), RELATIONS, field=f"relations.{target}")
    return {target: dict(zip(tasks, row, strict=True)) for target, row in rows}


def _labelling(kinds: Kinds) -> Iterator[str]:
    """Tasks that some context needs an auxiliary map of, in their order."""
    needed = {
        {"target": target, "source": source}.get(kind.labels_of)
        for target, by_source in kinds.items()
        for source, kind in by_source.items()
    }
    return (task for task in kinds if task in needed)


def _classes(task: str, channels: Mapping[str, int]) -> int:
    if task in CLASSIFIED:
        return channels[task]
    if task not in CLASSES:
        known = ", ".join(sorted([*CLASSES, *CLASSIFIED]))
        mend = f"Use none, global or local where it would be needed; maps are known of {known}"
        raise SpecError(f"task {task!r} has no auxiliary map", field="relations", mend=mend)
    return CLASSES[task]


def _logits(inputs: int, outputs: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=LOGITS_STD)
    nn.init.constant_(cast(Tensor, layer.bias), 0)
    return layer
