"""No step of any method makes the host wait for the device: what it needs to know, it has known before."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from methods import methods
from pretended import PLACE, Waits, mark_network, marked

from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.run import Machine, step_inputs
from mtlrepro.profiling.speed import Training
from mtlrepro.spec import RunSpec
from mtlrepro.suite.shrink import smoke

LIBRARY = "modeling_mask2former.py"
"""Mask2Former's pixel decoder is the library's; it tells the device the sizes of its maps in every pass."""


def cases(*architectures: str) -> list[object]:
    """A method of every objective and every weighting, and of these architectures too."""
    seen, chosen = set[tuple[str, str]](), []
    for name, method in methods().items():
        model, objective = method.spec.model, method.spec.objective
        parts = {("objective", objective.name), ("weighting", objective.weighting.name)}
        parts |= {("architecture", a) for a in architectures if a == model.arch}
        if not parts <= seen:
            seen |= parts
            chosen.append(pytest.param(smoke(method.spec), id=name))
    return chosen


@pytest.mark.parametrize("spec", cases())
def test_no_step_waits(spec: RunSpec) -> None:
    """The second step: the first may look at what it is given."""
    tasks, batches, teachers = step_inputs(spec, Machine(), batches=2)
    training = Training(spec, tasks, torch.device("cpu"), teachers)
    for network in (training.model, training.objective, *teachers):
        mark_network(network)
    training.optimizer = build_optimizer(training.model, training.objective, spec.recipe)
    on_device = [replace(marked(b), labelled=b.labelled, index=b.index) for b in batches]
    with Waits() as first:
        training.step(on_device[0])
    with Waits() as waits:
        training.step(on_device[-1])
    assert [place for place in waits.found if LIBRARY not in place] == []
    assert set(waits.found) <= set(first.found)


@pytest.mark.gpu
@pytest.mark.parametrize("spec", cases(*{method.spec.model.arch for method in methods().values()}))
def test_no_step_waits_on_a_gpu(spec: RunSpec) -> None:
    tasks, batches, teachers = step_inputs(spec, Machine("cuda:0"), batches=2)
    training = Training(spec, tasks, torch.device("cuda:0"), teachers)
    on_device = [batch.to("cuda:0") for batch in batches]
    for batch in on_device:
        training.step(batch)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            training.take(on_device[0])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [str(w.message) for w in said if "synchronizing" in str(w.message)]
    assert len(waits) <= int(spec.model.arch.startswith("mt_cp")), waits


# --- the pretended device ---------------------------------------------------------------------------------------------

HERE = marked(torch.arange(6.0).view(2, 3))

WAITING = {
    "item": lambda: HERE.sum().item(),
    "tolist": lambda: HERE.tolist(),
    "__bool__": lambda: bool((HERE > 3).any()),
    "__float__": lambda: float(HERE[0, 0]),
    "nonzero": lambda: HERE.nonzero(),
    "a mask as an index": lambda: HERE[HERE > 2],
    "a host tensor as an index": lambda: HERE[torch.tensor([0])],
    "torch.tensor": lambda: torch.tensor([1.0], device=HERE.device),
    "a copy to the device that is waited for": lambda: torch.ones(2).to(HERE.device),
    "a copy to the host": lambda: HERE.to("cpu"),
    "cpu": lambda: (HERE * 2).cpu(),
}

FREE = {
    "a sum": lambda: HERE.sum() / 2,
    "a choice": lambda: torch.where(HERE > 2, HERE, 0.0),
    "places on the device": lambda: HERE[marked(torch.tensor([0]))],
    "a copy that is not waited for": lambda: torch.ones(2).to(HERE.device, non_blocking=True) + HERE[0, :2],
    "made there": lambda: torch.zeros(3, device=HERE.device) + HERE,
    "the host's own": lambda: torch.ones(2).sum().item(),
    "another dtype": lambda: HERE.to(torch.float64),
}


@pytest.mark.parametrize("what", WAITING)
def test_what_waits_is_noticed_with_its_place(what: str) -> None:
    with Waits() as waits:
        WAITING[what]()
    ((place, times),) = waits.found.items()
    assert place.startswith(f"{what} in tests/objectives/test_waits.py:")
    assert times == 1


@pytest.mark.parametrize("what", FREE)
def test_what_does_not_wait_is_let_pass(what: str) -> None:
    with Waits() as waits:
        result = FREE[what]()
        if isinstance(result, torch.Tensor):
            assert result.device == PLACE
    assert waits.found == {}
