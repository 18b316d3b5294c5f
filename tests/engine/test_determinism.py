from __future__ import annotations

import pytest
import torch

from mtlrepro.engine.determinism import derive, make_deterministic, open_device, seed_generators
from mtlrepro.errors import SpecError

CPU = torch.device("cpu")


def test_seeds_of_all_purposes_differ_and_fit_a_generator() -> None:
    seeds = {derive(seed, *what) for seed in range(5) for what in (("init",), ("data",), ("step", 1), ("step", 11))}
    assert len(seeds) == 20
    assert all(0 <= s < 2**63 for s in seeds)
    assert derive(1, "step", 1) != derive(1, "step1") != derive(11, "step")


def test_seeds_are_the_same_everywhere() -> None:
    assert derive(0, "init") == 1519069808562059438


def test_seeding_a_step_fixes_its_draws() -> None:
    seed_generators(5, CPU)
    first = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(first, torch.rand(3))


def test_a_cpu_run_uses_one_thread_and_deterministic_kernels() -> None:
    torch.set_num_threads(2)
    make_deterministic(CPU)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:x", "", "cuda:-1"])
def test_unknown_devices_are_told(name: str) -> None:
    with pytest.raises(SpecError, match=r"device: unknown device .* Use cpu, cuda"):
        open_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_devices_that_are_not_there_are_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SpecError, match=r"no device 'cuda.*0 CUDA GPUs are visible\. Use cpu"):
        open_device(name)
    assert open_device("cpu") == CPU
