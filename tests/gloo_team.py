"""Real processes that share a training over gloo, started once for all tests that use them."""

from __future__ import annotations

import multiprocessing
import queue
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

RANKS = 2
PATIENCE = 300
"""Seconds after which processes that wait for each other count as stuck; imports alone may take a minute."""
PRELOADED = ["torch", "timm.layers", "mtlrepro.engine.run", "mtlrepro.tasks.edges", "mtlrepro.data.scenes.dataset"]
"""What takes long to import, and is imported once for all processes."""


def _serve(rank: int, meet: str, work: Any, answers: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=RANKS, timeout=timedelta(seconds=PATIENCE)
    )
    while (call := work.get()) is not None:
        function, arguments = call
        try:
            answers.put((rank, function(*arguments), None))
        except Exception as error:
            answers.put((rank, error, traceback.format_exc()))
    dist.destroy_process_group()


class Team:
    """`RANKS` processes of one group.

    Args:
        folder: where they meet.
    """

    def __init__(self, folder: Path):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._queues = [context.SimpleQueue() for _ in range(RANKS)]
        self._answers = context.Queue()
        self._processes = [
            context.Process(target=_serve, args=(rank, str(folder / "meet"), calls, self._answers), daemon=True)
            for rank, calls in enumerate(self._queues)
        ]
        for process in self._processes:
            process.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What a function of a module returned in every process, or the error that it raised there."""
        assert all(process.is_alive() for process in self._processes), "the processes were stuck, and ended"
        for calls in self._queues:
            calls.put((function, arguments))
        found: dict[int, tuple[Any, str | None]] = {}
        while len(found) < RANKS:
            try:
                rank, answer, trace = self._answers.get(timeout=PATIENCE)
            except queue.Empty:
                self.close()
                pytest.fail(f"{RANKS - len(found)} processes are stuck in {function.__name__}; {found}")
            found[rank] = answer, trace
        return [found[rank][0] for rank in range(RANKS)]

    def values(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """The same; an error is raised here."""
        answers = self.call(function, *arguments)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def close(self) -> None:
        """End the processes."""
        for calls in self._queues:
            calls.put(None)
        for process in self._processes:
            process.join(timeout=5)
            process.kill()


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Processes over gloo."""
    made = Team(tmp_path_factory.mktemp("team"))
    yield made
    made.close()
