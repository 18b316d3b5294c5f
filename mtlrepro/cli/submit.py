"""`mtlrepro submit`: give the runs of tables, or of a comparison, to a Slurm cluster."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from mtlrepro.cli.base import Verb
from mtlrepro.cli.chosen import chosen
from mtlrepro.cli.run import Run
from mtlrepro.errors import SpecError

_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


class Submit(Verb):
    """Submit what `mtlrepro run` would execute."""

    interrupted = "interrupted; what was submitted stays submitted, see `mtlrepro status`"
    summary = "submit the runs of tables to a Slurm cluster, one task of a job array each"
    examples = """examples:
  mtlrepro submit mti_net/2a --tier full --seeds 3 --partition gpu --time 12:00:00 --slurm mem=64G
  mtlrepro submit jtr --tier smoke --gpus 0 --cpus 1 --array 50      on CPUs, at most fifty at one time
  mtlrepro submit nyuv2 --dry-run                                    which runs there are, and what they are waiting for
  mtlrepro submit --dataset street.toml --methods stl mtl mti_net --gpus 1
  mtlrepro status                                                    what became of them"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        Run.add_arguments(parser)
        cluster = parser.add_argument_group("the cluster")
        cluster.add_argument("--partition", default="", help="partition (default: the cluster's)")
        cluster.add_argument(
            "--time",
            type=minutes,
            default=240,
            metavar="LIMIT",
            help="of a task, in minutes or as [D-]HH:MM:SS (default 240); a longer run is requeued and resumes",
        )
        cluster.add_argument("--gpus", type=int, default=1, choices=(0, 1), help="of a task (default 1)")
        cluster.add_argument("--cpus", type=int, default=8, help="cores of a task (default 8)")
        cluster.add_argument("--array", type=int, default=0, metavar="N", help="tasks at one time (default: all)")
        cluster.add_argument(
            "--slurm",
            action="append",
            default=[],
            metavar="NAME[=VALUE]",
            help="any other option of sbatch, such as account=vision or exclusive; may be given several times",
        )
        cluster.add_argument("--dry-run", action="store_true", help="show the runs, submit nothing")

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.suite import cluster
        from mtlrepro.suite.launch import RunJob
        from mtlrepro.suite.session import Session
        from mtlrepro.suite.states import SUBMITTED, state_of, states

        if options.cpus < 1 or options.array < 0:
            mend = "Give at least one core, and a number of tasks or 0 for all"
            raise SpecError(f"--cpus {options.cpus} --array {options.array}", mend=mend)
        resources = cluster.Resources(
            minutes=options.time,
            gpu=bool(options.gpus),
            cpus=options.cpus,
            partition=options.partition,
            parallel=options.array,
            more=_more(options.slurm),
        )
        tables, choice = chosen(options)
        runs = choice.runs.resolve()
        planned = cluster.Collected()
        session = Session(replace(choice, runs=runs), planned)
        session.capacity = replace(session.capacity, gpus=options.gpus)  # of the nodes, not of this one
        try:
            session.plan([(b, r) for b in tables for r in b.rows])
            jobs = [job for job in planned if isinstance(job, RunJob)]
            live = cluster.live_jobs() or set()
            waiting = {run.key: run.job for run in states(runs, live=live) if run.job in live}
            fates = {job.key: _fate(state_of(session.store.directory(job.run)), waiting.get(job.key)) for job in jobs}
            wanted = [job for job in jobs if not fates[job.key]]
            print(
                tabulate(
                    [[j.key, j.run.spec.label, j.run.seed, j.run.tier, fates[j.key] or "to submit"] for j in jobs],
                    headers=["run", "what", "seed", "tier", ""],
                    disable_numparse=True,
                )
            )
            print(f"\n{len(jobs)} runs, {len(wanted)} to submit")
            if failed := sum(fate.startswith("failed") for fate in fates.values()):
                print(f"{failed} failed before and are left out: mtlrepro status --retry-failed --runs {choice.runs}")
            if wanted and not options.dry_run:
                made = cluster.submit(wanted, resources, runs)
                arrays = dict.fromkeys(job.partition("_")[0] for job in made.values())
                print(f"submitted {len(made)} runs as Slurm jobs {', '.join(arrays)}; logs in {runs / SUBMITTED}")
        finally:
            session.close()
        partition = f" --partition={options.partition}" if options.partition else ""
        where = f"srun{partition} --gpus=1 " if options.gpus else ""
        print(f"progress:         mtlrepro status --runs {choice.runs}")
        print(f"report, at last:  {where}mtlrepro run {spelled(options)}")
        return 0


def minutes(text: str) -> int:
    """Parse a time limit as Slurm writes it: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS; rounded up.

    Example:
        >>> minutes("90"), minutes("12:00:00"), minutes("1-06"), minutes("0:30")
        (90, 720, 1800, 1)
    """
    found = _TIME.fullmatch(text)
    numbers = [int(n) for n in found.groups() if n is not None] if found else []
    if found and found[1] is not None:
        days, hours, *rest = numbers
        parts = [24 * days + hours, *rest]
    else:
        parts = [0, *numbers] if len(numbers) < 3 else numbers
    hour, minute, second = [*parts, 0, 0, 0][:3]
    total = -(-(3600 * hour + 60 * minute + second) // 60)
    if total < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no time limit such as 240, 12:00:00 or 1-06:00:00")
    return total


def _fate(state: str, job: str | None) -> str:
    """Why a run is not submitted; "" for one that is."""
    if state == "done":
        return "done"
    if job is not None:
        return f"submitted before, as {job}"
    return {"running": "running", "failed": "failed before"}.get(state, "")


def _more(texts: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, _, _) in zip(texts, pairs, strict=True):
        if not re.fullmatch(r"[a-z][a-z_-]*", name):
            mend = "Give NAME=VALUE or NAME, as `sbatch --help` names them without dashes"
            raise SpecError(f"{text!r} is no option of sbatch", field="--slurm", mend=mend)
    return tuple((name.replace("_", "-"), value) for name, _, value in pairs)


def spelled(options: argparse.Namespace) -> str:
    """The arguments of `mtlrepro run` for the same tables."""
    parser = argparse.ArgumentParser(add_help=False)
    Run.add_arguments(parser)
    words: list[str] = []
    for action in parser._actions:
        value = getattr(options, action.dest)
        if value == action.default or value is None:
            continue
        flag = action.option_strings[-1:]
        if value is True:
            words += flag
        elif isinstance(action, argparse._AppendAction):
            words += [word for one in value for word in (*flag, one)]
        elif isinstance(value, list):
            words += [*flag, *value]
        else:
            words += [*flag, _written(value)]
    return shlex.join(map(str, words))


def _written(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
