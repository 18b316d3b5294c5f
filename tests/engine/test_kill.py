"""A run in a process of its own, killed at random moments and started again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_runs import Outcome, complete, spec_over

from mtlrepro.engine import checkpoint

CHILD = """
import json, sys
from pathlib import Path
from mtlrepro.engine.run import Machine, execute
from mtlrepro.spec import RunSpec
spec, folder = RunSpec.from_json(json.loads(sys.argv[1])), Path(sys.argv[2])
record = execute(spec, 0, folder, Machine(checkpoint_seconds=0.0), lambda event: print(event["step"], flush=True))
(folder / "record.json").write_text(json.dumps(record))
"""
KILLS = 3


@pytest.mark.slow
def test_a_killed_run_ends_with_the_bits_of_an_undisturbed_one(tiny_dataset: Path, tmp_path: Path) -> None:
    spec = spec_over(tiny_dataset, epochs=15, evaluate_every=5)
    whole = complete(spec, tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    moments = random.Random(0)
    reached = []
    for attempt in range(KILLS + 1):
        command = [sys.executable, "-c", CHILD, json.dumps(spec.to_json()), str(folder)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        first = child.stdout.readline()
        assert int(first) == (reached[-1] if reached else 0) + 1
        if attempt == KILLS:
            break
        time.sleep(moments.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        file = folder / "checkpoint.safetensors"
        reached.append(json.loads(checkpoint.read(file)[1]["position"])["step"] if file.exists() else 0)
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert reached == sorted(reached)
    assert 0 < reached[-1] < 30
    got = Outcome(json.loads((folder / "record.json").read_text()), folder)
    (folder / "record.json").unlink()
    assert got.differences(whole) == []
    assert {p.name for p in folder.iterdir()} == {p.name for p in whole.folder.iterdir()}
