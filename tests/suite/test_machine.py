"""Names of machines: folders of recorded results."""

from __future__ import annotations

import re

import pytest

from mtlrepro.engine.environment import environment
from mtlrepro.suite.machine import machine


@pytest.mark.parametrize(
    ("gpu", "cpu", "cores", "name"),
    [
        ("none", "AMD EPYC", "2", "amd-epyc-2-cores"),
        ("none", "Intel(R) Xeon(R) CPU @ 2.20GHz", "8", "intel-r-xeon-r-cpu-2-20ghz-8-cores"),
        ("NVIDIA H200", "AMD EPYC", "16", "nvidia-h200"),
        ("NVIDIA H200, NVIDIA H200", "AMD EPYC", "64", "nvidia-h200"),  # however many there are, a run takes one
        ("NVIDIA A100-SXM4-80GB", "any", "1", "nvidia-a100-sxm4-80gb"),
        ("NVIDIA T4, NVIDIA L4", "any", "1", "nvidia-t4-nvidia-l4"),
    ],
)
def test_a_machine_is_its_gpu_or_its_cpu_and_cores(gpu: str, cpu: str, cores: str, name: str) -> None:
    assert machine({"gpu": gpu, "cpu": cpu, "cores": cores}) == name


def test_without_a_word_about_gpus_it_is_the_cpu() -> None:
    assert machine({"cpu": "AMD EPYC", "cores": "2"}) == "amd-epyc-2-cores"


def test_this_machine_has_a_name_that_is_a_folder_s() -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine(environment()))
    assert machine(environment()) == machine(environment())
