"""Plugins for tests: files, installed packages, and the state of the process put back afterwards."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlrepro.plugins import FILE_MODULE, PLUGINS_ENV

NET = '''
from torch import nn

from mtlrepro.models.baselines import MultiTask


class Net(MultiTask):
    """As the baseline, with a setting."""

    def __init__(self, backbone, main, channels, *, width=4):
        super().__init__(backbone, main, channels)
        self.spare = nn.Conv2d(3, width, 1)


class Single(Net):
    single_task = True


class WithFrontEnd(Net):
    front_end = True

    def __init__(self, backbone, main, aux, channels):
        super().__init__(backbone, main, channels)
        self.aux = aux
'''
"""Three architectures: joint, single-task, with a front-end."""


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No plugin before the test, and none of its own after it."""
    monkeypatch.setenv(PLUGINS_ENV, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(FILE_MODULE) or name.partition(".")[0] in ("own_pkg", "beside", "helper"):
            del sys.modules[name]
    importlib.invalidate_caches()


def write(file: Path, text: str) -> Path:
    """A file with this text, dedented."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return file


def install(folder: Path, points: str, files: dict[str, str], name: str = "own-pkg") -> None:
    """A package with entry points, as pip leaves it in a folder of the search path, which it becomes."""
    for path, text in files.items():
        write(folder / path, text)
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    write(info / "entry_points.txt", points)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    else:
        sys.path.append(f"{folder}/.")  # found anew: entry points are known by the search path
    importlib.invalidate_caches()
