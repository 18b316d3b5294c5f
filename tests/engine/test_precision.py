"""Arithmetics: what each changes, that it is undone, and that every published method computes in the fast one."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import complete, killed_after_every_step, spec_over
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.engine import precision as precision_module
from mtlrepro.engine import train as train_module
from mtlrepro.engine.precision import PRECISIONS, Precision, obstacle, precision_of
from mtlrepro.engine.run import Machine, step_inputs
from mtlrepro.errors import SpecError
from mtlrepro.profiling.speed import Training
from mtlrepro.spec import RunSpec
from mtlrepro.suite.shrink import smoke
from mtlrepro.suite.table import discover

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FAST = PRECISIONS["fast"]
SUITES = Path(__file__).resolve().parents[2] / "suites"


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(SpecError, match=r"unknown precision 'fats'\. Did you mean 'fast'") as caught:
        precision_of("fats")
    assert caught.value.field == "recipe.precision"


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("before", [(False, False), (True, False), (False, True)])
def test_tf32_is_as_before_afterwards(name: str, before: tuple[bool, bool]) -> None:
    """The flags can be set where there is no GPU, which is where they are looked at here."""
    kept = flags()
    try:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
        with PRECISIONS[name].products(CUDA):
            assert flags() == (PRECISIONS[name].tf32,) * 2
        assert flags() == before
        with pytest.raises(KeyError), PRECISIONS[name].products(CUDA):
            raise KeyError
        assert flags() == before
        with PRECISIONS[name].products(CPU):  # where they would change products, too
            assert flags() == before
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2), nn.Flatten(), nn.Linear(36, 2))


def test_only_convolutions_change_their_layout_and_nothing_its_value() -> None:
    plain, laid = layers(), layers()
    FAST.prepare(CPU, nn.Identity(), laid)
    last = [p.is_contiguous(memory_format=torch.channels_last) for p in laid.parameters() if p.ndim == 4]
    assert last == [True, True]
    assert [n for n, _ in laid.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), laid.parameters(), strict=True))
    untouched = layers()
    PRECISIONS["tf32"].prepare(CPU, untouched)
    assert all(p.is_contiguous() for p in untouched.parameters())


def test_a_pass_without_gradient_takes_none_from_the_next() -> None:
    """PyTorch's own cache of cast weights, filled without gradient, would leave the weight without one."""
    net, x = nn.Linear(8, 4), torch.rand(2, 8)
    with FAST.casting(CPU):
        with torch.no_grad():
            net(x)
        found = net(x)
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert net.weight.grad is not None
    assert net.weight.grad.any()


def test_the_paper_s_arithmetic_does_nothing() -> None:
    paper = PRECISIONS["paper"]
    with paper.casting(CPU), paper.products(CPU):
        assert not torch.is_autocast_enabled("cpu")
        assert layers()(torch.rand(1, 3, 4, 4)).dtype == torch.float32
    assert paper.facts(CUDA, shared=False) == PRECISIONS["tf32"].facts(CUDA, shared=False) == {}


def test_where_networks_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[str, Any] = {"triton": object(), "programs": {"cc"}}
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(precision_module.importlib.util, "find_spec", lambda name: there[name])
    monkeypatch.setattr(precision_module.shutil, "which", lambda name: name if name in there["programs"] else None)
    assert obstacle(CPU, shared=False) == "no: not on a GPU"
    assert obstacle(CUDA, shared=False) == ""
    assert "other processes" in obstacle(CUDA, shared=True)
    assert FAST.facts(CUDA, shared=False) == {"compiled": "yes"}
    there["programs"] = {"clang"}
    assert obstacle(CUDA, shared=False) == ""
    there["programs"] = {"my-cc"}
    assert FAST.facts(CUDA, shared=False) == {"compiled": "no: no C compiler"}
    monkeypatch.setenv("CC", "my-cc")
    assert obstacle(CUDA, shared=False) == ""
    there["triton"] = None
    assert "triton" in obstacle(CUDA, shared=False)


def test_a_network_is_compiled_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler's tracing, but without its code, so that it runs where there is no GPU."""
    net, plain = layers(), layers()
    compiled: list[dict[str, Any]] = []
    real = nn.Module.compile

    def compile_(module: nn.Module, **options: Any) -> None:
        compiled.append(options)
        real(module, backend="eager", **options)

    monkeypatch.setattr(precision_module, "obstacle", lambda device, shared: "")
    monkeypatch.setattr(nn.Module, "compile", compile_)
    replace(FAST, channels_last=False).prepare(CPU, net)
    image = torch.rand(2, 3, 4, 4)
    assert torch.equal(net(image), plain(image))
    assert compiled == [{"dynamic": False, "fullgraph": True}]
    assert list(net.state_dict()) == list(plain.state_dict())
    assert list(copy.deepcopy(net).state_dict()) == list(plain.state_dict())


# --- runs -------------------------------------------------------------------------------------------------------------


def in_precision(spec: RunSpec, name: str) -> RunSpec:
    return replace(spec, recipe=replace(spec.recipe, precision=name))


def test_a_paper_run_after_a_fast_one_keeps_every_bit(tiny_dataset: Path, tmp_path: Path) -> None:
    spec = spec_over(tiny_dataset, epochs=1, evaluate_every=1, arch="mti_net")
    before = complete(spec, tmp_path / "before")
    fast = complete(in_precision(spec, "fast"), tmp_path / "fast")
    assert complete(spec, tmp_path / "after").differences(before) == []
    assert fast.differences(before) != []
    assert fast.tensors.keys() == before.tensors.keys()
    assert {v.dtype for v in fast.tensors.values()} == {v.dtype for v in before.tensors.values()}


def test_a_fast_run_keeps_every_bit_when_killed(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = in_precision(spec_over(tiny_dataset, epochs=2, evaluate_every=1), "fast")
    whole = complete(spec, tmp_path / "whole")
    resumed, seen = killed_after_every_step(spec, tmp_path / "killed", monkeypatch)
    assert resumed.differences(whole) == []
    assert len(seen) == 4


def test_tf32_on_a_cpu_is_the_paper_s_arithmetic(tiny_dataset: Path, tmp_path: Path) -> None:
    spec = spec_over(tiny_dataset, epochs=1)
    paper = complete(spec, tmp_path / "paper")
    assert complete(in_precision(spec, "tf32"), tmp_path / "tf32").differences(paper) == []


def test_training_and_evaluation_ask_for_the_recipe_s(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = Precision.casting

    def casting(self: Precision, device: torch.device) -> Any:
        asked.append("training" if torch.is_grad_enabled() else "evaluation")
        assert self is FAST
        return real(self, device)

    monkeypatch.setattr(Precision, "casting", casting)
    complete(in_precision(spec_over(tiny_dataset, epochs=1), "fast"), tmp_path)
    assert asked == ["training", "training", "evaluation"]
    with pytest.raises(SpecError, match="unknown precision"):
        complete(in_precision(spec_over(tiny_dataset, epochs=1), "slow"), tmp_path / "slow")


# --- every published method -------------------------------------------------------------------------------------------


def methods() -> dict[str, RunSpec]:
    """The smoke twin of one run of every (architecture, backbone, objective, weighting) that a table declares."""
    found: dict[str, RunSpec] = {}
    for _, table in discover(SUITES):
        for row in (*table.rows, *table.references):
            for spec in () if row.counted else row.specs:
                for one in (spec, *spec.needs):
                    m, o = one.model, one.objective
                    found.setdefault(f"{m.arch}-{m.backbone}-{o.name}-{o.weighting.name}", one)
    twins = {}
    for name in sorted(found):
        twin = smoke(found[name])
        parts = (twin.model.arch, twin.model.backbone, twin.objective.name, twin.objective.weighting.name)
        twins.setdefault("-".join(parts), twin)
    return twins


METHODS = methods()


def first_step(spec: RunSpec, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, dict[str, Tensor]]:
    """The total that is minimised in the first step, and the gradients."""
    tasks, batches, teachers = step_inputs(spec, Machine(), batches=1)
    training = Training(in_precision(spec, name), tasks, CPU, teachers)
    totals: list[Tensor] = []
    gradients: dict[str, Tensor] = {}
    networks = {"model": training.model, "objective": training.objective}

    def average(optimizer: Any) -> None:
        for part, network in networks.items():
            gradients.update(
                {f"{part}.{n}": p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
            )

    real = train_module.ranks.backward
    with monkeypatch.context() as patch:
        patch.setattr(train_module.ranks, "backward", lambda loss: (totals.append(loss.detach()), real(loss)))
        patch.setattr(train_module.ranks, "average_gradients", average)
        torch.manual_seed(1)
        training.step(batches[0])
    return totals[0], gradients


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_published_method_computes_fast(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step from random weights: what is minimised stays close, and all that has a gradient has a finite one.

    Gradients themselves cannot be compared: those of deep random networks with batch norm of a few places turn
    elsewhere when their weights alone are rounded to bfloat16.
    """
    paper, by_paper = first_step(METHODS[name], "paper", monkeypatch)
    fast, by_fast = first_step(METHODS[name], "fast", monkeypatch)
    assert paper.dtype == fast.dtype == torch.float32
    assert float(fast) == pytest.approx(float(paper), rel=0.05)
    assert by_fast.keys() == by_paper.keys()
    assert all(g.dtype == torch.float32 and bool(g.isfinite().all()) for g in by_fast.values())


def test_masked_attention_looks_where_it_looks_in_float32() -> None:
    """Mask2Former's queries look where mask logits are above 0: in bfloat16 other places would be looked at."""
    found = METHODS["mt_cp-mask2former_nano-coherence-fixed"]
    tasks, batches, _ = step_inputs(found, Machine(), batches=1)
    training = Training(found, tasks, CPU, ())
    seen: list[torch.dtype] = []
    module = training.model.backbone.network.transformer_module
    module.register_forward_hook(lambda m, a, out: seen.append(out.masks_queries_logits[-1].dtype))
    with FAST.casting(CPU):
        (shared,) = training.model.backbone(batches[0].image)
    assert seen == [torch.float32]
    assert shared.dtype == torch.float32
    assert F.conv2d(shared, torch.zeros(1, shared.shape[1], 1, 1)).dtype == torch.float32  # no autocast is left on
