"""`mtlrepro profile`: parameters and multiply-accumulates of paper-exact models, step time where asked."""

from __future__ import annotations

import argparse
from dataclasses import replace

from tabulate import tabulate

from mtlrepro.cli.base import Verb, add_plugins, add_suites
from mtlrepro.errors import MissingExtra, SpecError


class Profile(Verb):
    """Count and time."""

    summary = "parameters and MACs of every row's paper-exact model; with --steps the training speed too"
    examples = """examples:
  mtlrepro profile mti_net/7a            every network of a table, at the paper's resolution
  mtlrepro profile mti_net/7a --fvcore   second counter: batch norm and upsampling too, uncounted operators listed
  mtlrepro profile mti_net/7a --steps 20 --device cuda:0   step time and memory at the paper's batch"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "tables", nargs="+", metavar="TABLE", help="paper, dataset or table, for example mti_net/7a"
        )
        parser.add_argument(
            "--fvcore", action="store_true", help="also count all operators with fvcore (runs the model on CPU)"
        )
        parser.add_argument(
            "--steps", type=int, default=0, help="time so many training steps at the paper's batch and size"
        )
        parser.add_argument("--device", default="cuda:0", help="device of --steps (default cuda:0)")
        add_plugins(parser)
        add_suites(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.data import dataset_info
        from mtlrepro.engine.run import Machine, time_steps
        from mtlrepro.profiling.cost import fvcore_cost, model_cost
        from mtlrepro.suite.shrink import bench
        from mtlrepro.suite.table import discover, select
        from mtlrepro.tasks import make_tasks

        specs = {
            s: None for b in select(list(discover(options.suites)), options.tables) for r in b.rows for s in r.specs
        }
        if not specs:
            raise SpecError("no row of these tables has a network here", mend="See `mtlrepro list --rows`")
        lines, uncounted, lacking = [], [], False
        for spec in specs:
            tasks = make_tasks(spec.tasks, dataset_info(spec.data.name, spec.data.options), spec.objective.losses)
            channels = {name: task.channels for name, task in tasks.items()}
            model = replace(spec.model, weights=None)
            try:
                cost = model_cost(model, channels, spec.data.size)
            except MissingExtra as error:
                lines.append({"network": spec.label, "not counted": str(error)})
                lacking = True
                continue
            line = {"network": spec.label, "params": f"{cost.params:,}", "GMAC": f"{cost.macs / 1e9:.3f}"}
            operators = cost.uncounted
            if options.fvcore:
                every = fvcore_cost(model, channels, spec.data.size)
                line["all-op G"] = f"{every.macs / 1e9:.3f}"
                operators = every.uncounted
            if options.steps:
                speed = time_steps(bench(spec), Machine(options.device), options.steps)
                line |= {"step ms": f"{speed['step_ms']:.1f}", "images/s": f"{speed['images_per_s']:.1f}"}
                if "vram_bytes" in speed:
                    line["VRAM GiB"] = f"{speed['vram_bytes'] / 2**30:.2f}"
            lines.append(line)
            uncounted.append((spec.label, operators))
        found = dict.fromkeys(name for line in lines for name in line)
        names = sorted(found, key=lambda name: name == "not counted")  # that one last, wherever it came up
        body = [[line.get(name, "") for name in names] for line in lines]
        sides = ["left" if name in ("network", "not counted") else "right" for name in names]
        print(tabulate(body, headers=names, disable_numparse=True, colalign=sides))
        if uncounted:
            print("\noperators that are not counted (calls):")
        for label, operators in uncounted:
            print(f"  {label}: " + ", ".join(f"{name} {calls}" for name, calls in sorted(operators.items())))
        return int(lacking)
