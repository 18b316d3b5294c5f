"""A session: selected rows -> plan -> runs -> table results. The pytest plugin and the command line both use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtlrepro.data import data_root_of
from mtlrepro.data.disk.verify import verify
from mtlrepro.data.sample import Dataset
from mtlrepro.data.streams import extra_source, mask_of, source, val_source
from mtlrepro.engine.environment import command
from mtlrepro.errors import ReproError, SpecError, unknown
from mtlrepro.expected.schema import COUNTED
from mtlrepro.spec import DataSpec, RunSpec, digest
from mtlrepro.suite import recorded, variants
from mtlrepro.suite.evidence import Evidence, RowEvidence, own_reference
from mtlrepro.suite.execution import DECLARED, Execution
from mtlrepro.suite.judge import adjust_together, judge_table
from mtlrepro.suite.launch import CostJob, Event, Job, Launcher, Pool, RunJob
from mtlrepro.suite.lock import Lock
from mtlrepro.suite.machine import machine
from mtlrepro.suite.outcome import Outcome, outcome
from mtlrepro.suite.program import model_digest, program_digest, weights_digest
from mtlrepro.suite.results import CONFORMANCE, RunInfo, SessionResult, TableResult
from mtlrepro.suite.states import announce
from mtlrepro.suite.store import Run, Store
from mtlrepro.suite.table import BoundTable, Row
from mtlrepro.suite.tiers import TRAINED_TIERS, Capacity, Service, datasets, serve

OWN_TIER = "own"

NOT_ASKED = "counted alone: the selected rows need its parameters and MACs, and no training of it"
"""Why a baseline row was not trained."""

MANIFESTS = "cache/manifests"
"""Folder of the run store for what was found out about files of datasets: hashes, what was decoded."""


@dataclass(frozen=True)
class Options:
    """What a user can set (`--tier --seeds --data-root --runs --report --strict --data-option --precision --sync-bn`).

    Attributes:
        tier: "auto" or one of `TRAINED_TIERS`; `OWN_TIER` runs specs as they are.
        seeds: number of seeds (0 .. n-1) of every run.
        runs: the run store.
        report: folder the report is written to.
        data_root: folder of the papers' datasets; None reads `MTLREPRO_DATA`.
        strict: a figure outside its band on the good side fails its row too.
        data_options: (name, value) pairs that datasets are read with in place of what rows declare
            (`mtlrepro.suite.variants`).
        execution: how runs are executed where that is not as declared.
    """

    tier: str = "auto"
    seeds: int = 1
    runs: Path = Path("runs")
    report: Path = Path("report")
    data_root: Path | None = None
    strict: bool = False
    data_options: tuple[tuple[str, Any], ...] = ()
    execution: Execution = DECLARED

    def __post_init__(self) -> None:
        if self.tier not in ("auto", OWN_TIER, *TRAINED_TIERS):
            raise unknown("tier", self.tier, ("auto", *TRAINED_TIERS), field="--tier")
        if self.seeds < 1:
            raise SpecError(f"{self.seeds} seeds", field="--seeds", mend="Give at least 1")


@dataclass
class _Plan:
    """What a row needs: its service and the keys of its jobs."""

    service: Service
    runs: list[list[Run]] = field(default_factory=list)
    """One list a spec, one run a seed."""
    costs: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    """Keys of the runs that those runs need."""


class Session:
    """Plans, launches and judges.

    Args:
        options: see `Options`.
        launcher: who executes; by default a pool over all GPUs, or over all cores where there is none.
        report: receives the pool's progress events.
    """

    def __init__(
        self, options: Options, launcher: Launcher | None = None, report: Callable[[Event], None] = lambda event: None
    ):
        self.options = options
        self.capacity = Capacity(_gpus(), data_root_of(options.data_root), options.runs / MANIFESTS)
        self.store = Store(options.runs)
        self._launcher, self._report = launcher, report
        self._began = time.perf_counter()
        self._plans: dict[tuple[str, str], _Plan] = {}
        self._tables: dict[str, BoundTable] = {}
        self._selected: dict[str, list[str]] = {}
        self._evidences: dict[str, Evidence] = {}
        self._results: dict[str, TableResult] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._run_infos: dict[str, RunInfo] = {}
        self._manifests: dict[DataSpec, str] = {}
        self._digests: dict[tuple[DataSpec, str], str] = {}
        self._planned: list[Lock] = []

    # --- planning -------------------------------------------------------------------------------------------------

    def plan(self, cases: Sequence[tuple[BoundTable, Row]]) -> None:
        """Select rows and give their jobs to the launcher, equal ones once, in the order of the cases.

        The baseline row of a table joins in wherever Δ_m needs it; it is trained unless rows that are only counted are
        all that refer to it.

        Raises:
            SpecError: a tier was asked for by name and none of the rows to train can be served at it, or datasets
                cannot be read as asked for.
            StoreError: the store cannot be written.
        """
        trained: set[tuple[str, str]] = set()
        for bound, row in cases:
            for there, name in [*baselines(bound, row), (bound, row.name)]:
                self._tables[there.key] = there
                names = self._selected.setdefault(there.key, [])
                names += [name] if name not in names else []
                if not row.counted:
                    trained.add((there.key, name))
        if self.options.tier == OWN_TIER and any(bound.table.paper != "own" for bound in self._tables.values()):
            raise unknown("tier", OWN_TIER, ("auto", *TRAINED_TIERS), field="--tier")
        rows = [self._tables[key].row(name) for key, names in self._selected.items() for name in names]
        variants.check([spec for row in rows for spec in row.specs], self.options.data_options)
        jobs: dict[str, Job] = {}
        for key, names in self._selected.items():
            for name in names:
                for job in self._plan_row(self._tables[key], self._tables[key].row(name), (key, name) in trained):
                    jobs.setdefault(job.key, job)
        wanted_rows = [self._plans[place].service for place in trained if self._tables[place[0]].row(place[1]).specs]
        unserved = {service.not_run for service in wanted_rows}
        if wanted_rows and all(service.tier is None for service in wanted_rows):
            raise SpecError(
                f"no selected row can be served at tier {self.options.tier!r}: {'; '.join(sorted(unserved))}",
                field="--tier",
                mend="Provide what is missing, or use --tier auto for the strongest tier this machine can serve",
            )
        if jobs:
            self.store.check_writable()
            self._planned.append(announce(self.options.runs, [j.run for j in jobs.values() if isinstance(j, RunJob)]))
            self.launcher.submit(_trainings_first(list(jobs.values())))

    @property
    def launcher(self) -> Launcher:
        """The launcher, started on first use."""
        if self._launcher is None:
            self._launcher = Pool(devices(), self._report)
        return self._launcher

    def _plan_row(self, bound: BoundTable, row: Row, trained: bool) -> list[Job]:
        identity = (bound.key, row.name)
        known = self._plans.get(identity)
        if known is not None and not (trained and known.service.tier == CONFORMANCE):
            return []
        if not row.specs:
            self._plans[identity] = _Plan(Service(None, (), row.missing or "quoted"))
            return []
        service = self._serve(bound, row) if trained else Service(CONFORMANCE, (), "" if row.counted else NOT_ASKED)
        plan = self._plans[identity] = _Plan(service)
        jobs: list[Job] = []
        for spec in service.specs:
            assert service.tier is not None
            trainings = [self._run_job(spec, seed, service.tier) for seed in range(self.options.seeds)]
            plan.runs.append([job.run for job in trainings])
            needs = [need for job in trainings for need in _needed(job)]
            plan.needs |= {need.key for need in needs}
            jobs += needs
            jobs += trainings
        for spec in row.specs:  # parameters and MACs are those of the paper's network, however its data are read
            job = self._cost_job(spec, bound.expected.timed)
            plan.costs.append(job.key)
            jobs.append(job)
        return jobs

    def _serve(self, bound: BoundTable, row: Row) -> Service:
        specs, like = (tuple(variants.varied(s, self.options.data_options) for s in of) for of in (row.specs, row.like))
        service = (
            Service(OWN_TIER, specs, "")
            if self.options.tier == OWN_TIER
            else serve(specs, self.options.tier, self.capacity, bound.expected.timed, like)
        )
        execution = self.options.execution
        read = variants.variation(row.specs, service.tier, self.options.data_options)
        changes = [read, execution.variation if service.tier else ""]
        return replace(
            service, specs=tuple(map(execution.applied, service.specs)), varied="; ".join(filter(None, changes))
        )

    def _run_job(self, spec: RunSpec, seed: int, tier: str) -> RunJob:
        needs = tuple(self._run_job(need, seed, tier) for need in spec.needs)
        run = Run(
            spec,
            seed,
            tier,
            program_digest(spec),
            self._manifest(spec.data),
            weights_digest(spec),
            tuple(need.key for need in needs),
        )
        return RunJob(run, self.options.runs, self.capacity.data_root, needs=needs)

    def _cost_job(self, spec: RunSpec, timed: bool) -> CostJob:
        from mtlrepro.data import dataset_info
        from mtlrepro.tasks import make_tasks

        tasks = make_tasks(spec.tasks, dataset_info(spec.data.name, spec.data.options), spec.objective.losses)
        channels = tuple((name, task.channels) for name, task in tasks.items())
        what = [spec.to_json()["model"], channels, spec.data.size, model_digest(spec.model)]
        if timed:
            what += [spec.hash(), program_digest(spec)]
        training = spec if timed else None
        return CostJob(spec.model, channels, spec.data.size, digest(what), self.options.runs, training=training)

    def _manifest(self, data: DataSpec) -> str:
        """Digest of the samples behind a data spec and of which of their labels are hidden."""
        if data not in self._manifests:
            train_set = self._open(source(data), "train")
            parts = [self._digest(source(data), "train"), self._digest(val_source(data), "val")]
            mask, extra = mask_of(data, train_set), extra_source(data)
            parts += [mask.digest()] if mask else []
            parts += [self._digest(extra, "train")] if extra else []
            self._manifests[data] = digest(parts)
        return self._manifests[data]

    def _open(self, data: DataSpec, split: str) -> Dataset:
        from mtlrepro.data import build_dataset

        return build_dataset(data, split, self.capacity.data_root, cache=self.options.runs / MANIFESTS)

    def _digest(self, data: DataSpec, split: str) -> str:
        """Digest of a split; files on disk are looked through before anything is trained on them."""
        from mtlrepro.data import description_file

        if (data, split) not in self._digests:
            dataset = self._open(data, split)
            self._digests[data, split] = dataset.digest()
            if description_file(data.name) is not None:
                verify(dataset, self._digests[data, split], self.options.runs / MANIFESTS)
        return self._digests[data, split]

    # --- results --------------------------------------------------------------------------------------------------

    def table(self, bound: BoundTable) -> TableResult:
        """The judged result of a table's selected rows, waiting for their runs; a run that failed is a check ERROR."""
        if bound.key not in self._results:
            panels = [b for b in bound.siblings.values() if b.key in self._selected] or [bound]
            judged = {b.key: judge_table(self._evidence(b)) for b in panels}
            for key, result in judged.items():
                services = {row.name: self._plans[key, row.name].service for row in result.rows}
                result.notes += self._remarks(list(services.values()))
                served = {
                    name: (self._tables[key].row(name).specs, service)
                    for name, service in services.items()
                    if service.tier != CONFORMANCE  # which reads no data
                }
                result.notes += variants.remarks(served, self.options.data_options)
                result.notes += self.options.execution.remarks(service.tier for _, service in served.values())
            adjust_together(list(judged.values()))
            self._results |= judged
        return self._results[bound.key]

    def _remarks(self, services: list[Service]) -> list[str]:
        """What a reader must know of the files behind figures of tiers that read a dataset from disk."""
        specs = [spec for service in services if service.tier in (OWN_TIER, "full") for spec in service.specs]
        names = dict.fromkeys(name for spec in specs for name in datasets(spec))
        return [f"{remark}." for name in names if (remark := self.capacity.remark(name))]

    def _evidence(self, bound: BoundTable) -> Evidence:
        """A panel's rows as far as they were selected, beside those of its siblings."""
        from mtlrepro.engine.environment import environment

        if bound.key not in self._evidences:
            rows = {name: self._row_evidence(bound, name) for name in self._selected[bound.key]}
            tiers = {r.service.tier for r in rows.values()}
            folder, here = bound.measured, machine(environment())
            references = {t: recorded.load(folder, t, here) for t in tiers if t and folder}
            siblings: dict[str, Evidence] = {}
            self._evidences[bound.key] = Evidence(bound, rows, references, siblings)
            for panel, other in bound.siblings.items():
                if other.key in self._selected:
                    siblings[panel] = self._evidence(other)
        return self._evidences[bound.key]

    def _row_evidence(self, bound: BoundTable, name: str) -> RowEvidence:
        plan = self._plans[(bound.key, name)]
        row = bound.row(name)
        costs: list[dict[str, Any]] = []
        try:
            costs = [self.launcher.result(k) for k in plan.costs]
            return RowEvidence(row, plan.service, [[self._record(r) for r in runs] for runs in plan.runs], costs)
        except ReproError as error:
            return RowEvidence(row, plan.service, [], costs, error=str(error))

    def _record(self, run: Run) -> dict[str, Any]:
        if run.key not in self._records:
            outcome = self.launcher.result(run.key)
            record = self._records[run.key] = {**outcome["record"], "reused": outcome["reused"]}
            seconds = sum(record["seconds"].get(part, 0.0) for part in ("setup", "train", "eval"))
            folder = self.store.directory(run)
            self._run_infos[run.key] = RunInfo(
                run.key, str(folder), run.spec.label, run.tier, seconds, outcome["reused"], run.seed
            )
        return self._records[run.key]

    def part(self, bound: BoundTable, row: str) -> SessionResult:
        """What was concluded about one row: its table with this row and the claims about it alone, and its runs."""
        table = self.table(bound)
        rows = [r for r in table.rows if r.name == row]
        claims = [c for c in table.claims if bound.claims_of(row, c.subject)]
        runs = [self._run_infos[k] for r in rows for k in r.runs]
        part = replace(table, rows=rows, claims=claims)
        if row != table.rows[0].name:  # what is about the panel travels once, with its first row
            part = replace(part, notes=[], findings=[], audit=[])
        return replace(self.finish(), tables=[part], runs=runs)

    def finish(self) -> SessionResult:
        """Everything concluded so far."""
        from mtlrepro.engine.environment import environment

        return SessionResult(
            command=command(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            tier=self.options.tier,
            seconds=time.perf_counter() - self._began,
            environment=environment(),
            tables=list(self._results.values()),
            runs=list(self._run_infos.values()),
        )

    @property
    def total_runs(self) -> int:
        """Distinct runs in the plan, those that others need included."""
        plans = self._plans.values()
        return len({run.key for p in plans for runs in p.runs for run in runs}.union(*(p.needs for p in plans)))

    def outcome(self, bound: BoundTable, name: str) -> Outcome:
        """Does a row hold? By its own checks and the claims about it (see `mtlrepro.suite.outcome`)."""
        table = self.table(bound)
        result = next(r for r in table.rows if r.name == name)
        claims = [c for c in table.claims if bound.claims_of(name, c.subject)]
        return outcome(bound.row(name), result, claims, self.options.strict)

    def failures(self) -> list[str]:
        """Rows that do not hold, one line a check."""
        return [
            f"{key} [{name}]: {line}"
            for key, names in self._selected.items()
            for name in names
            if name in [row.name for row in self._tables[key].rows]  # a reference is not judged
            for line in self.outcome(self._tables[key], name).failures
        ]

    def close(self) -> None:
        """Stop the launcher; what it has not begun is no longer planned."""
        if self._launcher is not None:
            self._launcher.close()
        while self._planned:
            self._planned.pop().release()


def baselines(bound: BoundTable, row: Row) -> list[tuple[BoundTable, str]]:
    """The rows that a row's Δ_m and relative resources refer to, with their panels; none for a row that is not run.

    A row that is only counted has no Δ_m.
    """
    panel, found = bound.expected, []
    for column in panel.columns if row.specs else ():
        refers = column.relative and column.metric in COUNTED if row.counted else column.over or column.relative
        place = own_reference(bound, row.name, column) if refers else None
        there = bound.siblings.get(place[0], bound if place[0] == panel.key else None) if place else None
        if place is not None and there is not None:
            found.append((there, place[1]))
    return found


def devices() -> list[str]:
    """One name a worker: every visible GPU, or "cpu" once a core."""
    import os

    gpus = _gpus()
    return [f"cuda:{i}" for i in range(gpus)] or ["cpu"] * max(1, len(os.sched_getaffinity(0)))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _needed(job: RunJob) -> list[RunJob]:
    """Every run that must be finished before one, those that others need first."""
    return [found for need in job.needs for found in (*_needed(need), need)]


def _trainings_first(jobs: list[Job]) -> list[Job]:
    # Costs are quick and everybody can do them while the last trainings end.
    return [j for j in jobs if isinstance(j, RunJob)] + [j for j in jobs if not isinstance(j, RunJob)]
