"""`mtlrepro run`: run tables, or compare methods on a dataset of one's own, and write the report."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from mtlrepro.cli.base import Verb, add_plugins, add_store, add_suites, size
from mtlrepro.cli.chosen import chosen
from mtlrepro.errors import SpecError

if TYPE_CHECKING:
    from mtlrepro.suite.team import Team


class Run(Verb):
    """Run and report."""

    interrupted = "interrupted; finished runs are kept, unfinished ones resume from their last checkpoint"
    summary = "run tables, or compare methods on your own dataset, and write a report"
    examples = """examples:
  mtlrepro run mti_net/2a                              one table at the strongest tier this machine can serve
  mtlrepro run nyuv2 --tier full --data-root /data --seeds 3
  mtlrepro run dense_mtl/vkitti2/1 --data-option policy=disjoint       a split without the released one's overlap
  mtlrepro run --dataset street.toml --methods stl mtl mti_net --size 96x128 --epochs 8
  mtlrepro run --dataset street.toml --methods mti_net mti_net/aware3d --objective-option maps=all
  mtlrepro run --dataset street.toml --methods mtl/partial mtl/jtr --labels onelabel --augment flip_photo
  mtlrepro run --dataset street.toml --methods stl mtl --weighting fixed dwa lps    which one fits my data
  torchrun --nproc-per-node 4 -m mtlrepro run mti_net/2a --tier full --sync-bn      one training on four GPUs
  mtlrepro run mti_net --tier smoke --seeds 3 && mtlrepro expected update    keep them as reference for regressions"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "tables", nargs="*", metavar="TABLE", help="paper, dataset or table, for example mti_net, nyuv2, mti_net/2a"
        )
        parser.add_argument("--tier", default="auto", help="auto, smoke, bench or full (default auto)")
        parser.add_argument("--seeds", type=int, default=1, help="seeds of every run (default 1)")
        parser.add_argument("--strict", action="store_true", help="a figure better than its band fails too")
        parser.add_argument(
            "--data-option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="read datasets that have this setting so, whatever is declared; may be given several times "
            "(`mtlrepro data info` names settings)",
        )
        parser.add_argument(
            "--precision",
            default="paper",
            help="paper (default), tf32 or fast: arithmetic of every run, part of its spec",
        )
        parser.add_argument(
            "--sync-bn",
            action="store_true",
            help="under torchrun, whose processes share every batch: batch normalisation over the whole of it",
        )
        parser.add_argument(
            "--shard",
            default="1/1",
            metavar="K/N",
            help="the K-th of N parts of the tables, of about equal work; those that share runs stay together",
        )
        add_plugins(parser)
        add_suites(parser)
        add_store(parser)
        own = parser.add_argument_group("comparing methods on a dataset of your own")
        own.add_argument(
            "--dataset",
            metavar="NAME",
            help="description file of your dataset (`mtlrepro data info folder`), or scenes",
        )
        own.add_argument(
            "--methods",
            nargs="+",
            default=["stl", "mtl", "mti_net"],
            help="architectures, or ARCH/OBJECTIVE such as mtl/jtr (default: stl mtl mti_net); Δ_m is against stl, "
            "else against the first single-task network, else against the first of all",
        )
        own.add_argument(
            "--objective-option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a setting of the methods' objectives, for all of them that have it; may be given several times",
        )
        own.add_argument(
            "--weighting",
            nargs="+",
            metavar="NAME",
            help="loss weightings, such as fixed dwa lps: every method is trained under each of them (default: fixed)",
        )
        own.add_argument(
            "--weighting-option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a setting of loss weightings, for all of them that have it; may be given several times",
        )
        own.add_argument("--labels", default="full", help="partial labels, such as onelabel (default full)")
        own.add_argument("--tasks", nargs="+", help="main tasks (default: all tasks of the dataset)")
        own.add_argument("--aux", nargs="+", default=[], help="auxiliary tasks for methods that have a front-end")
        own.add_argument(
            "--backbone", default="hrnet_nano", help="backbone (default hrnet_nano; `mtlrepro list` names all)"
        )
        own.add_argument(
            "--weights", help="tag of the backbone's pinned weights, of timm or of a hub repository (default: random)"
        )
        own.add_argument(
            "--size", type=size, default=(96, 128), metavar="HxW", help="network input size (default 96x128)"
        )
        own.add_argument("--augment", default="flip", help="training augmentation (default flip)")
        own.add_argument("--epochs", type=int, default=10, help="passes over the training split (default 10)")
        own.add_argument("--batch", type=int, default=8, help="images a step (default 8)")
        own.add_argument("--lr", type=float, default=1e-3, help="Adam's learning rate (default 1e-3)")
        own.add_argument("--loss-weight", nargs="+", default=[], metavar="TASK=W", help="loss weights (default 1)")
        own.add_argument(
            "--evaluate-every",
            type=int,
            default=0,
            metavar="EPOCHS",
            help="epochs between evaluations (default: only at the end)",
        )

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.suite.team import gathered

        with gathered() as team:
            return self._run(options, team) if team is None or team.rank == 0 else team.follow()

    def _run(self, options: argparse.Namespace, team: Team | None) -> int:
        from mtlrepro.progress import ProgressLine
        from mtlrepro.report import write_report
        from mtlrepro.report.headline import headline
        from mtlrepro.suite.launch import Inline
        from mtlrepro.suite.session import Session
        from mtlrepro.suite.shards import WHOLE, choose, parse

        tables, choice = chosen(options)
        shard = parse(options.shard)
        if options.dataset and shard != WHOLE:
            mend = "Leave it out; --seeds and several machines on one run store share the work of a comparison"
            raise SpecError("a comparison on one dataset is one table", field="--shard", mend=mend)
        progress = ProgressLine(width=shutil.get_terminal_size().columns)
        launcher = None if team is None else Inline(team.device, progress)
        session = Session(choice, launcher, progress)
        try:
            cases = [(b, r) for b in tables for r in b.rows]
            cases = cases if shard == WHOLE else choose(cases, shard, choice.tier)
            session.plan(cases)
            progress.total = session.total_runs
            for bound in {bound.key: bound for bound, _ in cases}.values():
                session.table(bound)
        finally:
            session.close()
            progress.clear()
        result = replace(session.finish(), shard="" if shard == WHOLE else str(shard))
        for line in headline(result).sentences:
            print(line)
        for path in write_report(result, options.runs, options.report):
            print(path)
        failures = session.failures()
        for line in failures:
            print(line, file=sys.stderr)
        return 1 if failures else 0
