"""Training steps of MTI-Net and its baselines, cross-stitch units, and two heads on a feature pyramid.

All networks have the five tasks of PASCAL-Context. Where benchmarks are
asked for alone (`--benchmark-only`) the paper's networks are measured, on a GPU at the paper's size and batch, on a CPU
in batches of 2: steps at 64x64 pixels, memory at 128x128. Among the tests the benchmark only has to run, with small
networks.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from peak_memory import peak_bytes
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from mtlrepro.data.sample import Batch, DatasetInfo, Sample, normalise, stack
from mtlrepro.engine.determinism import make_deterministic
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.train import set_training, take_step
from mtlrepro.models import build_model
from mtlrepro.models.heads import HRNetHead
from mtlrepro.models.panoptic import PanopticHead
from mtlrepro.objectives import attached_objective
from mtlrepro.spec import ModelSpec, RunSpec, options
from mtlrepro.tasks import make_tasks
from suites.mti_net import methods as paper
from suites.mti_net.methods import COMPLETE, HRNET18, R18_FPN, SETTINGS, Specs

CLASSES = {"semseg": 21, "parts": 7, "saliency": 2, "edges": 2}
INFO = DatasetInfo("random", COMPLETE, tuple(f"class {i}" for i in range(CLASSES["semseg"])))


class Case(NamedTuple):
    """Pictures of the steps that are timed and of the pass whose memory is read, the batch, and rounds.

    The first round is not counted.
    """

    timed: tuple[int, int]
    held: tuple[int, int]
    batch: int
    rounds: int


PAPER = SETTINGS[COMPLETE].data.size
MEASURED = {
    "cpu": Case((64, 64), (128, 128), 2, 4),
    "cuda": Case(PAPER, PAPER, SETTINGS[COMPLETE].deep.batch, 11),
}
TRIED = Case((32, 32), (32, 32), 2, 2)
HEAD_SIZE = {"cpu": (32, 32), "cuda": (128, 128)}
"""Of the finest map, a quarter of the picture's 128x128 and 512x512 pixels."""
HEAD_ROUNDS = 11

NANO = {"hrnet18": "hrnet_nano", "resnet18_fpn": "fpn_nano", "resnet18_os8": "resnet_nano"}
NARROW = {arch: ("width", 16) for arch in ("padnet", "deeplab", "deeplab_single", "cross_stitch")}
"""What stands in for backbones, and for widths, where nothing is measured."""


def architectures(backbone: ModelSpec) -> dict[str, Specs]:
    """The methods of Tables 2b and S1, and PAD-Net."""
    return {
        "mtl": paper.multi_task(backbone, COMPLETE),
        "stl": paper.single_task(backbone, COMPLETE),
        "padnet": paper.pad_net((), backbone, COMPLETE),
        "mti_net": paper.mti_net((), backbone, COMPLETE),
    }


def stitched() -> dict[str, Specs]:
    """Cross-stitch units beside the same networks without them, and beside one encoder with the same heads."""
    setting = SETTINGS[COMPLETE]

    def run(arch: str, *main: str, **settings: Any) -> RunSpec:
        model = ModelSpec(arch, "resnet18_os8", main, options=options(**settings))
        return RunSpec(setting.data, model, setting.plain)

    return {
        "mtl": (run("deeplab", *COMPLETE, aligned=False),),
        "stl": tuple(run("deeplab_single", task) for task in COMPLETE),
        "cross_stitch": (run("cross_stitch", *COMPLETE, alpha=0.8),),
    }


def draw(size: tuple[int, int], samples: int, device: str) -> Batch:
    """Noise with a valid label of every task everywhere."""
    generator = torch.Generator().manual_seed(0)

    def sample() -> Sample:
        normals = torch.randn(3, *size, generator=generator)
        labels = {
            task: torch.randint(0, classes, size, dtype=torch.uint8, generator=generator)
            for task, classes in CLASSES.items()
        }
        image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
        return {"image": image, "normals": normals / normals.norm(dim=0), **labels}

    return Batch(*stack([sample() for _ in range(samples)], make_tasks(COMPLETE, INFO), normalise)).to(device)


class Training:
    """A network of a spec with random weights, its objective and its optimizer."""

    def __init__(self, spec: RunSpec, batch: Batch, device: str):
        torch.manual_seed(0)
        self.batch = batch
        model = replace(spec.model, weights=None)
        tasks = make_tasks((*model.main, *model.aux), INFO)
        self.model = build_model(model, {name: task.channels for name, task in tasks.items()}).to(device)
        set_training(self.model, spec.recipe)
        self.objective = attached_objective(replace(spec, model=model), tasks, self.model).to(device)
        self.optimizer = build_optimizer(self.model, self.objective, spec.recipe)
        self.terms: dict[str, Tensor] = {}

    def step(self) -> None:
        self.terms = take_step(self.model, self.objective, self.optimizer, self.batch, progress=0.0).terms

    def add_gradients(self, batch: Batch) -> None:
        """A forward and backward pass; its gradients are added to those of the last step, which are there already."""
        self.objective(self.model, batch, 0.0).total.backward()

    def finite(self) -> bool:
        values = [*self.terms.values(), *self.model.state_dict().values()]
        return all(bool(torch.isfinite(value).all()) for value in values)


def seconds(work: Callable[[], Any], cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def in_turns(steps: Mapping[str, Callable[[], Any]], base: str, rounds: int, cuda: bool) -> dict[str, float]:
    """Median milliseconds of every step, taken in turns, and the median of its ratios to the base in the same turn."""
    turns = [{name: seconds(step, cuda) for name, step in steps.items()} for _ in range(rounds)][1:]
    figures: dict[str, float] = {"threads": torch.get_num_threads()}
    for name in steps:
        figures[f"{name}_ms"] = 1e3 * statistics.median(turn[name] for turn in turns)
        figures[f"{name}_ratio"] = statistics.median(turn[name] / turn[base] for turn in turns)
    return figures


def compare(
    methods: Mapping[str, Specs], case: Case, device: str, memory: str
) -> tuple[dict[str, float], dict[str, list[Training]]]:
    """Step times relative to the multi-task baseline's, and peak MiB of one method's pass and of the baseline's.

    A method of several networks takes a step of each. Memory is what comes and goes with a picture, beside weights,
    gradients and the optimizer's state: of small pictures these would be most of it.
    """
    make_deterministic(torch.device(device))
    batch = draw(case.timed, case.batch, device)
    trained = {name: [Training(spec, batch, device) for spec in specs] for name, specs in methods.items()}
    steps = {name: lambda own=own: [one.step() for one in own] for name, own in trained.items()}
    figures = in_turns(steps, "mtl", case.rounds, device == "cuda")
    batch = draw(case.held, case.batch, device)
    for name in ("mtl", memory):
        [one] = trained[name]
        figures[f"{name}_mib"] = peak_bytes(lambda one=one: one.add_gradients(batch), device == "cuda") / 2**20
    return {**figures, "memory_ratio": figures[f"{memory}_mib"] / figures["mtl_mib"]}, trained


def shrunk(methods: Mapping[str, Specs]) -> dict[str, Specs]:
    """The same methods with small networks."""

    def small(model: ModelSpec) -> ModelSpec:
        narrow = (NARROW[model.arch],) if model.arch in NARROW else ()
        return replace(model, backbone=NANO[model.backbone], options=model.options + narrow)

    return {name: tuple(replace(spec, model=small(spec.model)) for spec in specs) for name, specs in methods.items()}


def report(benchmark: BenchmarkFixture, figures: Mapping[str, float]) -> None:
    benchmark.extra_info.update(figures)
    print("\n" + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def check(trained: Mapping[str, list[Training]], losses: Mapping[str, int]) -> None:
    """Every network has trained on as many losses as its architecture has predictions, and is finite after it."""
    assert {name: sum(len(one.terms) for one in own) for name, own in trained.items()} == losses
    assert [name for name, own in trained.items() if not all(one.finite() for one in own)] == []


def asked(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("benchmark_only"))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("backbone", [HRNET18, R18_FPN], ids=lambda backbone: backbone.backbone)
def test_training_step_of_every_method(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, backbone: ModelSpec, device: str
) -> None:
    methods, case = architectures(backbone), MEASURED[device]
    if not asked(request):
        methods, case = shrunk(methods), TRIED
    figures, trained = benchmark.pedantic(compare, args=(methods, case, device, "mti_net"), rounds=1)
    report(benchmark, figures)
    tasks = len(COMPLETE)
    check(trained, {"mtl": tasks, "stl": tasks, "padnet": 2 * tasks, "mti_net": 5 * tasks})


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_training_step_of_cross_stitch_networks(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, device: str
) -> None:
    methods, case = stitched(), MEASURED[device]
    if not asked(request):
        methods, case = shrunk(methods), TRIED
    figures, trained = benchmark.pedantic(compare, args=(methods, case, device, "cross_stitch"), rounds=1)
    report(benchmark, figures)
    check(trained, dict.fromkeys(methods, len(COMPLETE)))


def head_step(head: nn.Module, maps: list[Tensor], found: dict[str, Tensor], name: str) -> None:
    """A forward and backward pass of a head; keeps its prediction and the norms of its gradients."""
    prediction = head(maps)
    wanted = [*maps, *head.parameters()]
    gradients = torch.autograd.grad(prediction.square().mean(), wanted)
    found[name], found[f"{name} gradients"] = prediction.detach(), torch.stack([g.norm() for g in gradients])


def heads(size: tuple[int, int], samples: int, width: int, rounds: int, device: str) -> tuple[Any, ...]:
    """Times of both heads relative to HRNet's, on maps of a pyramid; their predictions and norms of gradients."""
    torch.manual_seed(0)
    make_deterministic(torch.device(device))
    maps = [
        torch.randn(samples, width, size[0] >> level, size[1] >> level, device=device, requires_grad=True)
        for level in range(4)
    ]
    both = {
        "hrnet": HRNetHead([width] * 4, CLASSES["semseg"]).to(device),
        "panoptic": PanopticHead([width] * 4, (4, 8, 16, 32), CLASSES["semseg"], width // 2, width // 8).to(device),
    }
    found: dict[str, Tensor] = {}
    steps = {name: lambda name=name: head_step(both[name], maps, found, name) for name in both}
    return in_turns(steps, "hrnet", rounds, device == "cuda"), found


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_panoptic_head_against_hrnet_head(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, device: str
) -> None:
    size, samples, width, rounds = (8, 8), TRIED.batch, 32, TRIED.rounds
    if asked(request):
        size, samples, width, rounds = HEAD_SIZE[device], MEASURED[device].batch, 256, HEAD_ROUNDS
    figures, found = benchmark.pedantic(heads, args=(size, samples, width, rounds, device), rounds=1)
    report(benchmark, figures)
    assert found["panoptic"].shape == found["hrnet"].shape == (samples, CLASSES["semseg"], *size)
    assert all(math.isfinite(value.sum()) for value in found.values())
