"""What JTR adds to a step: all samples at once, against the same loss sample by sample with a copied auto-encoder."""

from __future__ import annotations

import copy
import statistics
import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.objectives import latent
from mtlrepro.objectives.jtr import JTR
from mtlrepro.objectives.stacks import Scene
from mtlrepro.tasks import make_tasks

NYU, CLASSES, BATCH = ("semseg", "depth", "normals"), 13, 4
PATTERNS = ((0,), (1, 2), (0, 1), (2,))
"""Labelled tasks of the samples, as in the setting with one or two labels an image."""

Maps = tuple[Tensor, Tensor, Tensor]
"""Logits or class ids, depth, normals of one sample."""


def draw(size: tuple[int, int], generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Raw predictions, and labels with a tenth of the pixels invalid."""
    raw = {
        name: torch.randn(BATCH, c, *size, generator=generator) for name, c in zip(NYU, (CLASSES, 1, 3), strict=True)
    }
    valid = torch.rand(BATCH, 1, *size, generator=generator) > 0.1
    labels = {
        "semseg": torch.where(valid[:, 0], torch.randint(0, CLASSES, (BATCH, *size), generator=generator), 255),
        "depth": torch.where(valid, 0.5 + 4 * torch.rand(BATCH, 1, *size, generator=generator), 0.0),
        "normals": torch.where(valid, F.normalize(torch.randn(BATCH, 3, *size, generator=generator)), 0.0),
    }
    return raw, labels


class SampleBySample:
    """L_JTR of the public implementation's equations for one sample after another, batch norms in training mode."""

    def __init__(self, jtr: JTR):
        self.net = copy.deepcopy(jtr.autoencoder).train()
        for parent in list(self.net.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.InstanceNorm2d):
                    setattr(parent, name, nn.BatchNorm2d(child.num_features))
        self.law = torch.distributions.Normal(2.3618, 1.5876)

    def __call__(self, one: list[Maps], labels_1: list[Maps], two: list[Maps], labels_2: list[Maps]) -> Tensor:
        every = zip(PATTERNS, one, labels_1, two, labels_2, strict=True)
        return sum((self.sample(*sample) for sample in every), torch.zeros(())) / BATCH

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
        soft = torch.cat([two[0].softmax(1) * mask, self.predictions(two, mask)[:, CLASSES:]], 1)
        latent_noisy, output_noisy = self.net(soft)
        encoder = 1 - F.cosine_similarity(latent_y, latent_noisy, eps=1e-12).mean()
        hard = self.predictions(two, mask)
        goals_y = (
            one_hot(labels_2[0]) if 0 in known else hard[:, :CLASSES],
            labels_2[1] if 1 in known else two[1],
            labels_2[2] if 2 in known else two[2],
        )
        goals_noisy = (hard[:, :CLASSES], hard[:, CLASSES : CLASSES + 1], hard[:, CLASSES + 1 :])
        recon = self.recon(output_y, goals_y, mask) + self.recon(output_noisy, goals_noisy, mask)
        return 4 * (model + 2 * encoder) + 2 * recon

    def mask(self, labels: Maps, known: tuple[int, ...]) -> Tensor:
        valid = ((labels[0] != 255).unsqueeze(1), labels[1] != 0, labels[2].sum(1, keepdim=True) != 0)
        return torch.stack([valid[i] for i in known]).all(0).float()

    def predictions(self, maps: Maps, mask: Tensor) -> Tensor:
        soft = maps[0].softmax(1)
        hard = F.one_hot(soft.argmax(1), CLASSES).movedim(-1, 1) - soft.detach() + soft
        return torch.cat([hard * mask, self.law.cdf(maps[1] * mask), (maps[2] * mask + 1) / 2], 1)

    def targets(self, maps: Maps, labels: Maps, known: tuple[int, ...], mask: Tensor) -> Tensor:
        label = (one_hot(labels[0]), self.law.cdf(labels[1]), (labels[2] + 1) / 2)
        other = self.predictions(maps, mask).split((CLASSES, 1, 3), 1)
        return torch.cat([label[i] if i in known else other[i] for i in range(3)], 1)

    def recon(self, output: Tensor, goals: Maps, mask: Tensor) -> Tensor:
        seg, depth, normals = output.split((CLASSES, 1, 3), 1)
        count = [max(1, int(g.count_nonzero())) for g in goals]
        first = (F.binary_cross_entropy_with_logits(seg, goals[0], reduction="none") * mask).sum() / count[0]
        squashed = (depth.sigmoid() - 0.5) * (1 - 1e-5) + 0.5
        second = ((squashed - self.law.cdf(goals[1])).abs() * mask).sum() / count[1]
        return first + second + 1 - (normals / normals.norm(dim=1, keepdim=True) * goals[2] * mask).sum() / count[2]


def one_hot(labels: Tensor) -> Tensor:
    """(1, classes, H, W), all zeros where ignored."""
    return F.one_hot(labels.clamp(max=CLASSES), CLASSES + 1).movedim(-1, 1)[:, :CLASSES].float()


def measure(size: tuple[int, int], widths: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Median milliseconds of a forward and backward pass of both, taken in turns, and their first values."""
    torch.manual_seed(0)
    tasks = make_tasks(NYU, DatasetInfo("random", NYU, tuple(str(c) for c in range(CLASSES))))
    jtr = JTR(tasks, dict.fromkeys(NYU, 1.0), widths=widths)
    loop = SampleBySample(jtr)
    generator = torch.Generator().manual_seed(0)
    (raw_1, labels_1), (raw_2, labels_2) = draw(size, generator), draw(size, generator)
    labelled = {name: torch.tensor([i in pattern for pattern in PATTERNS]) for i, name in enumerate(NYU)}
    leaves = [raw.requires_grad_() for raw in raw_1.values()]

    def batched() -> Tensor:
        one, two = Scene.of(jtr.forms, raw_1, labels_1, labelled), Scene.of(jtr.forms, raw_2, labels_2, labelled)
        addends = jtr.code_addends(one, two, torch.zeros(BATCH, dtype=torch.bool))
        return sum((a.weight * a.values.mean() for a in addends.values()), torch.zeros(()))

    def looped() -> Tensor:
        def rows(maps: dict[str, Tensor]) -> list[Maps]:
            normals = F.normalize(maps["normals"], dim=1)
            return [(maps["semseg"][b : b + 1], maps["depth"][b : b + 1], normals[b : b + 1]) for b in range(BATCH)]

        return loop(rows(raw_1), rows(labels_1), rows(raw_2), rows(labels_2))

    times: dict[str, list[float]] = {"batched": [], "looped": []}
    values, gradients = {}, {}
    for _ in range(rounds):
        for name, (function, net) in {"batched": (batched, jtr), "looped": (looped, loop.net)}.items():
            wanted = [*leaves, *net.parameters()]
            for tensor in wanted:
                tensor.grad = None
            began = time.perf_counter()
            total = function()
            total.backward()
            times[name].append(time.perf_counter() - began)
            values[name] = total.item()
            gradients[name] = torch.stack([t.grad.norm() for t in wanted if t.grad is not None])
    middle = {name: 1e3 * statistics.median(seconds[1:]) for name, seconds in times.items()}
    apart = (gradients["batched"].norm() / gradients["looped"].norm() - 1).abs().item()
    return {
        **{f"{name}_ms": ms for name, ms in middle.items()},
        "ratio": middle["looped"] / middle["batched"],
        "value": values["batched"],
        "difference": abs(values["batched"] / values["looped"] - 1),
        "gradient_difference": apart,
    }


def test_batched_against_sample_by_sample(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)  # else the two would draw different classes
    figures = benchmark.pedantic(measure, args=((64, 96), (8, 16, 32, 64, 64), 6), rounds=1)
    benchmark.extra_info.update(figures)
    print("\n" + ", ".join(f"{name} {value:.6g}" for name, value in figures.items()))
    assert figures["difference"] < 1e-5
    assert figures["gradient_difference"] < 1e-3
