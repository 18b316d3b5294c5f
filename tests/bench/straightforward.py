"""Training as plain research code does it, which the harness is measured against.

Files are read and changed sample by sample in the workers of a `DataLoader`; everything is float32, eager and laid out
as it comes; losses are read after every step; JTR goes from sample to sample with a copy of its auto-encoder for each.
Networks, augmentations and losses are the package's own, so that both train the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import NORMALISE, Sample
from mtlrepro.data.streams import Stream
from mtlrepro.data.transforms.augment import AUGMENTATIONS, make_views
from mtlrepro.data.transforms.basic import resize_sample
from mtlrepro.models import build_model
from mtlrepro.objectives import attached_objective
from mtlrepro.objectives.jtr import JTR
from mtlrepro.spec import RunSpec
from mtlrepro.tasks.base import Task

Maps = tuple[Tensor, Tensor, Tensor]
"""Logits or class ids, depth, normals of one sample."""


class Files(Dataset):  # type: ignore[type-arg]
    """Samples as files, an image and an array a label, read and augmented one at a time.

    Args:
        folder: where they are written first.
        stream: the samples, and which of their labels may be seen.
        spec: its data are read.
        tasks: the labels.
        views: of every sample.
    """

    def __init__(self, folder: Path, stream: Stream, spec: RunSpec, tasks: Mapping[str, Task], views: int):
        self.folder, self.tasks, self.views, self.data = folder, dict(tasks), views, spec.data
        self.rows, self.known = list(stream.rows), []
        for row in self.rows:
            sample = resize_sample(stream.dataset[row], spec.data.size, self.tasks)
            Image.fromarray(sample["image"].movedim(0, -1).contiguous().numpy()).save(folder / f"{row}.png")
            for task in self.tasks:
                np.save(folder / f"{row}_{task}.npy", sample[task].numpy())
            self.known.append([stream.labelled(row, task) for task in self.tasks])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        row, known = self.rows[place], dict(zip(self.tasks, self.known[place], strict=True))
        with Image.open(self.folder / f"{row}.png") as picture:
            sample: Sample = {"image": torch.from_numpy(np.array(picture)).movedim(-1, 0).contiguous()}
        for name, task in self.tasks.items():
            shown = torch.from_numpy(np.load(self.folder / f"{row}_{name}.npy"))
            sample[name] = shown if known[name] else task.unlabelled(self.data.size)
        draws = Draws("plain", int(torch.randint(1 << 30, ())))
        augmentation = AUGMENTATIONS[self.data.augment]
        made = make_views(sample, augmentation, self.tasks, draws, self.views, aligned=not any(known.values()))
        return {
            "images": [NORMALISE[self.data.normalise](view["image"]) for view, _ in made],
            "targets": [{name: task.collate(view[name]) for name, task in self.tasks.items()} for view, _ in made],
            "known": known,
        }


class Plain:
    """A training of supervised, partially supervised or joint-task regularised networks.

    Args:
        spec: see `mtlrepro.profiling.speed.Training`, as for `tasks` and `place`.
        samples: what it trains on.
        workers: of the loader.
    """

    def __init__(self, spec: RunSpec, tasks: Mapping[str, Task], place: torch.device, samples: Files, workers: int):
        torch.manual_seed(0)
        self.tasks, self.place = dict(tasks), place
        channels = {name: task.channels for name, task in tasks.items()}
        self.model: Any = build_model(spec.model, channels, spec.data.size).to(place).train()
        objective = attached_objective(spec, tasks, self.model).to(place)
        self.weights, self.partial = objective.weights, spec.objective.name != "supervised"
        self.regularizer = SampleBySample(objective, channels["semseg"]) if isinstance(objective, JTR) else None
        trained = [*self.model.parameters(), *(self.regularizer.net.parameters() if self.regularizer else ())]
        assert spec.recipe.optimizer == "adam"
        self.optimizer = torch.optim.Adam(trained, spec.recipe.lr, weight_decay=spec.recipe.weight_decay)
        self.loader = DataLoader(
            samples,
            spec.recipe.batch,
            shuffle=True,
            num_workers=workers,
            pin_memory=place.type == "cuda",
            drop_last=True,
            persistent_workers=workers > 0,
        )

    def batches(self) -> Iterator[dict[str, Any]]:
        """Batches without end, on the host."""
        while True:
            yield from self.loader

    def step(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """One optimizer step; its losses, which the host waits for."""
        images = [image.to(self.place) for image in batch["images"]]
        targets = [{name: label.to(self.place) for name, label in seen.items()} for seen in batch["targets"]]
        losses = self.losses(images, targets, batch["known"])
        total = sum(losses.values(), torch.zeros((), device=self.place))
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return {name: loss.item() for name, loss in losses.items()}

    def losses(
        self, images: list[Tensor], targets: list[dict[str, Tensor]], known: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What is minimised the sum of."""
        outputs = [self.model(image) for image in images]
        everywhere = {"final": outputs[0].final, **outputs[0].stages}
        losses = {
            f"{stage}/{task}": self.weights[task] * self.loss(task, maps, targets[0][task], known[task].tolist())
            for stage, predictions in everywhere.items()
            for task, maps in predictions.items()
        }
        if self.regularizer is None:
            return losses
        names, size = list(self.tasks), len(images[0])
        seen = [tuple(i for i, name in enumerate(names) if known[name][row]) for row in range(size)]
        of = [self.rows(view.final, size) for view in outputs[1:]] + [self.rows(view, size) for view in targets[1:]]
        return {**losses, "jtr": self.regularizer(seen, of[0], of[2], of[1], of[3])}

    def loss(self, task: str, raw: Tensor, target: Tensor, known: list[bool]) -> Tensor:
        """A task's loss; with partial labels of one labelled sample after the other, over the size of the batch."""
        raw = F.interpolate(raw, size=target.shape[-2:], mode="bilinear", align_corners=False)
        if not self.partial:
            return self.tasks[task].loss(raw, target)
        each = [self.tasks[task].loss(raw[i : i + 1], target[i : i + 1]) for i, shown in enumerate(known) if shown]
        return sum(each, raw.new_zeros(())) / len(known)

    def rows(self, maps: Mapping[str, Tensor], size: int) -> list[Maps]:
        """Maps of NYUv2's tasks, sample by sample; predicted normals at unit length."""
        seg, depth, normals = (maps[name] for name in ("semseg", "depth", "normals"))
        normals = F.normalize(normals, dim=1)
        return [(seg[b : b + 1], depth[b : b + 1], normals[b : b + 1]) for b in range(size)]


class SampleBySample:
    """L_JTR of the public implementation's equations for one sample after another, batch norms in training mode.

    Args:
        jtr: what it is the same loss as; its auto-encoder is copied.
        classes: of the first of NYUv2's three tasks.
    """

    def __init__(self, jtr: JTR, classes: int):
        self.classes, self.distance, self.reconstruction = classes, jtr.distance_weight, jtr.reconstruction_weight
        self.net = copy.deepcopy(jtr.autoencoder).train()
        for parent in list(self.net.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.InstanceNorm2d):
                    setattr(parent, name, nn.BatchNorm2d(child.num_features))
        self.law = torch.distributions.Normal(2.3618, 1.5876)

    def __call__(
        self,
        known: Sequence[tuple[int, ...]],
        one: Sequence[Maps],
        labels_1: Sequence[Maps],
        two: Sequence[Maps],
        labels_2: Sequence[Maps],
    ) -> Tensor:
        """The mean over samples, of predictions and labels of two views; `known` names a sample's labelled tasks."""
        losses = [self.sample(*sample) for sample in zip(known, one, labels_1, two, labels_2, strict=True)]
        return sum(losses[1:], losses[0]) / len(losses)

    def sample(self, known: tuple[int, ...], one: Maps, labels_1: Maps, two: Maps, labels_2: Maps) -> Tensor:
        frozen = copy.deepcopy(self.net)
        cut = tuple(p.detach() if i in known else p for i, p in enumerate(one))
        mask = self.mask(labels_1, known)
        noisy = self.predictions(cut, mask)
        model = (
            1
            - F.cosine_similarity(
                frozen.latent(self.targets(cut, labels_1, known, mask)), frozen.latent(noisy), eps=1e-12
            ).mean()
        )
        two = tuple(p.detach() for p in two)  # type: ignore[assignment]
        mask = self.mask(labels_2, known)
        latent_y, output_y = self.net(self.targets(two, labels_2, known, mask))
        soft = torch.cat([two[0].softmax(1) * mask, self.predictions(two, mask)[:, self.classes :]], 1)
        latent_noisy, output_noisy = self.net(soft)
        encoder = 1 - F.cosine_similarity(latent_y, latent_noisy, eps=1e-12).mean()
        hard = self.predictions(two, mask)
        goals_y = (
            one_hot(labels_2[0], self.classes) if 0 in known else hard[:, : self.classes],
            labels_2[1] if 1 in known else two[1],
            labels_2[2] if 2 in known else two[2],
        )
        goals_noisy = (hard[:, : self.classes], hard[:, self.classes : self.classes + 1], hard[:, self.classes + 1 :])
        recon = self.recon(output_y, goals_y, mask) + self.recon(output_noisy, goals_noisy, mask)
        return self.distance * (model + self.reconstruction * encoder) + self.reconstruction * recon

    def mask(self, labels: Maps, known: tuple[int, ...]) -> Tensor:
        valid = ((labels[0] != 255).unsqueeze(1), labels[1] != 0, labels[2].sum(1, keepdim=True) != 0)
        return torch.stack([valid[i] for i in known]).all(0).float()

    def predictions(self, maps: Maps, mask: Tensor) -> Tensor:
        soft = maps[0].softmax(1)
        hard = F.one_hot(soft.argmax(1), self.classes).movedim(-1, 1) - soft.detach() + soft
        return torch.cat([hard * mask, self.law.cdf(maps[1] * mask), (maps[2] * mask + 1) / 2], 1)

    def targets(self, maps: Maps, labels: Maps, known: tuple[int, ...], mask: Tensor) -> Tensor:
        label = (one_hot(labels[0], self.classes), self.law.cdf(labels[1]), (labels[2] + 1) / 2)
        other = self.predictions(maps, mask).split((self.classes, 1, 3), 1)
        return torch.cat([label[i] if i in known else other[i] for i in range(3)], 1)

    def recon(self, output: Tensor, goals: Maps, mask: Tensor) -> Tensor:
        seg, depth, normals = output.split((self.classes, 1, 3), 1)
        count = [max(1, int(g.count_nonzero())) for g in goals]
        first = (F.binary_cross_entropy_with_logits(seg, goals[0], reduction="none") * mask).sum() / count[0]
        squashed = (depth.sigmoid() - 0.5) * (1 - 1e-5) + 0.5
        second = ((squashed - self.law.cdf(goals[1])).abs() * mask).sum() / count[1]
        return first + second + 1 - (normals / normals.norm(dim=1, keepdim=True) * goals[2] * mask).sum() / count[2]


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(1, classes, H, W), all zeros where ignored."""
    return F.one_hot(labels.clamp(max=classes), classes + 1).movedim(-1, 1)[:, :classes].float()


@contextmanager
def torch_s_own_kernels() -> Iterator[None]:
    """Kernels as torch chooses them, in float32; afterwards as before."""
    chosen = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(chosen, warn_only=warns)
