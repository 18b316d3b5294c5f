"""A small runner of GitHub workflows: real commands, artifacts and caches as folders, expressions looked up."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Facts = Mapping[str, str | bool | Callable[[Path], bool]]
"""What an expression stands for: text, or a condition, which may look at the job's folder."""

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Runner:
    """Runs jobs of one pipeline.

    Attributes:
        workflow: as parsed.
        checkout: folder that every job begins with.
        artifacts: name -> folder, of this pipeline.
        caches: key -> folder, of all pipelines.
        env: environment of every command.
    """

    workflow: dict[str, Any]
    checkout: Path
    artifacts: Path
    caches: Path
    env: dict[str, str]
    output: str = field(default="", init=False)

    def job(self, name: str, place: Path, facts: Facts) -> bool:
        """Run a job's steps in a folder; whether it succeeded."""
        job = self.workflow["jobs"][name]
        shutil.copytree(self.checkout, place)
        env = {**self.env, **self._told(self.workflow["env"], facts), "GITHUB_STEP_SUMMARY": str(place / "summary.md")}
        fine = True
        for step in job["steps"]:
            if self._wanted(step.get("if"), fine, place, facts):
                fine &= self._step(step, place, {**env, **self._told(step.get("env", {}), facts)}, facts)
        return fine

    def _wanted(self, condition: str | None, fine: bool, place: Path, facts: Facts) -> bool:
        """Without a word on how the job went, a step runs only while nothing has failed."""
        if condition is None:
            return fine
        (expression,) = EXPRESSION.findall(condition)
        fact = facts[expression]
        holds = fact(place) if callable(fact) else fact
        return bool(holds) and (fine or "cancelled()" in expression)

    def _step(self, step: dict[str, Any], place: Path, env: dict[str, str], facts: Facts) -> bool:
        if "run" in step:
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self._text(step["run"], facts)]
            done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=500, check=False)
            self.output += done.stdout + done.stderr
            return done.returncode == 0
        action, _, version = step["uses"].partition("@")
        assert re.fullmatch(r"v\d+", version), f"{action} is pinned to a major version"
        ACTIONS[action](self, self._told(step.get("with", {}), facts), place)
        return True

    def _told(self, values: Mapping[str, Any], facts: Facts) -> dict[str, str]:
        return {name: self._text(str(value), facts) for name, value in values.items()}

    def _text(self, text: str, facts: Facts) -> str:
        return EXPRESSION.sub(lambda found: str(facts[found.group(1)]), text)

    def _upload(self, given: Mapping[str, str], place: Path) -> None:
        lines = given["path"].split()
        left_out = [line.removeprefix("!").replace("**", "*") for line in lines if line.startswith("!")]
        for line in lines:
            for file in place.glob(f"{line.rstrip('/')}/**/*") if not line.startswith("!") else ():
                name = str(file.relative_to(place))
                if file.is_file() and not any(fnmatch.fnmatch(name, pattern) for pattern in left_out):
                    to = self.artifacts / given["name"] / (name if len(lines) > 1 else file.relative_to(place / line))
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, to)

    def _download(self, given: Mapping[str, str], place: Path) -> None:
        for folder in self.artifacts.glob(given["pattern"]):
            shutil.copytree(folder, place / given["path"] / folder.name)

    def _restore(self, given: Mapping[str, str], place: Path) -> None:
        found = sorted(self.caches.glob(f"{given['restore-keys']}*"))
        if found:
            shutil.copytree(found[-1], place / given["path"])

    def _save(self, given: Mapping[str, str], place: Path) -> None:
        shutil.copytree(place / given["path"], self.caches / given["key"])

    def _nothing(self, given: Mapping[str, str], place: Path) -> None:
        """A checkout and a Python are there."""


ACTIONS: dict[str, Callable[[Runner, Mapping[str, str], Path], None]] = {
    "actions/checkout": Runner._nothing,
    "actions/setup-python": Runner._nothing,
    "actions/upload-artifact": Runner._upload,
    "actions/download-artifact": Runner._download,
    "actions/cache/restore": Runner._restore,
    "actions/cache/save": Runner._save,
}
