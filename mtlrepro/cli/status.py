"""`mtlrepro status`: what becomes of the runs of a store."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mtlrepro.cli.base import Verb, add_suites

if TYPE_CHECKING:
    from mtlrepro.suite.states import RunState

SHOWN = 20
"""Queued runs that are named; --json names all."""
WIDTH = 160
"""Characters of a log line that are shown; --json has all."""


class Status(Verb):
    """Say what is queued, running, interrupted, failed and done."""

    summary = "show which runs of a store are queued, running, interrupted, failed or done, and why"
    examples = """examples:
  mtlrepro status                          every run of runs/: counts, then what is running, interrupted, failed, queued
  mtlrepro status mti_net/2a --lines 20    the runs of one table, with more of the logs of those that failed
  mtlrepro status --failed                 only those that failed
  mtlrepro status --retry-failed           forget the failures: `mtlrepro submit` takes these runs again
  mtlrepro status --json | jq '.runs[] | select(.state == "running") | .eta'"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "tables",
            nargs="*",
            metavar="TABLE",
            help="runs of these tables alone, at any tier; those with a --data-option of their own are left out",
        )
        parser.add_argument("--runs", type=Path, default=Path("runs"), help="run store (default: runs/)")
        parser.add_argument("--failed", action="store_true", help="only runs that failed")
        parser.add_argument("--lines", type=int, default=3, help="last log lines of runs that failed (default 3)")
        parser.add_argument("--retry-failed", action="store_true", help="forget the failures, of these tables if given")
        parser.add_argument("--json", action="store_true", help="every run as JSON, finished ones too")
        add_suites(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.report.words import plural
        from mtlrepro.suite import failure
        from mtlrepro.suite.cluster import live_jobs
        from mtlrepro.suite.states import SUBMITTED, states

        wanted = _digests(options.suites, options.tables) if options.tables else None
        live = live_jobs() if (options.runs / SUBMITTED).is_dir() else None
        found = list(states(options.runs, wanted, live, details=options.json))
        failed = [run for run in found if run.state == "failed"]
        if options.retry_failed:
            for run in failed:
                failure.clear(Path(run.folder))
            forgotten = plural(len(failed), "failure")
            print(f"{forgotten} forgotten; `mtlrepro submit` and `mtlrepro run` take failed runs again")
            return 0
        shown = failed if options.failed else found
        if options.json:
            counts = Counter(run.state for run in found)
            runs = [{**asdict(run), "eta": run.eta, "lines": _lines(run, options.lines)} for run in shown]
            print(json.dumps({"counts": counts, "runs": runs}, indent=1))
            return 0
        print("\n".join(_text(options.runs, found, shown, options.lines)))
        return 0


def _digests(suites: Path, patterns: list[str]) -> set[str]:
    """Digests of the runs of tables at any tier, and of those that they need."""
    from mtlrepro.spec import RunSpec
    from mtlrepro.suite.shrink import TWINS
    from mtlrepro.suite.states import spec_digest
    from mtlrepro.suite.table import discover, select

    def digests(spec: RunSpec) -> set[str]:
        return {spec_digest(spec)}.union(*map(digests, spec.needs))

    specs = {spec for b in select(list(discover(suites)), patterns) for row in b.rows for spec in row.specs}
    return set().union(*(digests(twin(spec)) for spec in specs for twin in TWINS.values()))


def _text(root: Path, found: list[RunState], shown: list[RunState], count: int) -> list[str]:
    from mtlrepro.suite.states import STATES

    counts = Counter(run.state for run in found)
    lines = [f"{root}: {', '.join(f'{counts[state]} {state}' for state in STATES)}"]
    failed = {run.key for run in found if run.state == "failed"}
    for state in ("running", "interrupted", "failed", "queued"):
        runs = [run for run in shown if run.state == state]
        if not runs:
            continue
        lines += ["", f"{state}:"]
        for run in runs if state != "queued" else runs[:SHOWN]:
            lines.append("  " + "  ".join([run.key, f"{_name(run)}{_where(run)}", *_facts(run, failed)]))
            if state == "failed":
                lines.append(f"    {run.problem or 'no reason was left'}")
                lines += [f"    on {run.failed_on}"] if run.failed_on else []
                lines += [f"    | {textwrap.shorten(line, WIDTH, placeholder=' ...')}" for line in _lines(run, count)]
        if state == "queued" and len(runs) > SHOWN:
            lines.append(f"  and {len(runs) - SHOWN} more")
    return lines


def _name(run: RunState) -> str:
    return f"{run.label} seed {run.seed} {run.tier}" if run.label else "of another version of the program"


def _where(run: RunState) -> str:
    return f", Slurm job {run.job}" if run.job else ""


def _facts(run: RunState, failed: set[str]) -> list[str]:
    facts = [run.owner] if run.owner else []
    if run.steps:
        facts.append(f"step {run.step}/{run.steps}")
    if run.state == "running" and run.rate:
        facts.append(f"{run.rate:.2f} it/s ETA {_clock(run.eta or 0.0)}")
    if run.state == "running":
        facts.append(f"heard of {run.age:.0f} s ago")
    if run.state == "queued" and (broken := [key for key in run.needs if key in failed]):
        facts.append(f"needs {', '.join(broken)}, which failed")
    return facts


def _lines(run: RunState, count: int) -> list[str]:
    return run.lines(count) if run.state in ("failed", "interrupted", "running") else []


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}"
