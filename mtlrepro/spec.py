"""`RunSpec`: a frozen, complete, hashable description of one training run.

Two rows with equal specs share one run. Everything that can change a result is in here (with the seed, the
program and the data, see `mtlrepro.suite.store.Run`); nothing else is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from mtlrepro.errors import SpecError, unknown

Options = tuple[tuple[str, Any], ...]
"""Sorted (name, value) pairs of JSON scalars or tuples: a hashable dict."""


LATE = {"late": True}
"""Marks a field that came to a spec after results had been recorded: it is written only where it says something other
than its default, so that specs from before it keep their hash."""


def options(**values: Any) -> Options:
    """Build an `Options` value from keywords, sorted by name; lists become tuples."""
    return tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in values.items()))


@dataclass(frozen=True)
class ExtraData:
    """A second stream of training samples beside the labelled ones.

    Attributes:
        name: dataset key; "unlabelled" for the training samples that the label setting leaves without any label;
            "" for none.
        tasks: tasks its samples are labelled for.
        train: number of samples, None for the whole split.
        options: dataset-specific settings.
        augment: key of a training augmentation; "" for that of the labelled stream.
    """

    name: str = ""
    tasks: tuple[str, ...] = ()
    train: int | None = None
    options: Options = ()
    augment: str = field(default="", metadata=LATE)


@dataclass(frozen=True)
class DataSpec:
    """Which samples, at which size, labelled how, changed how.

    Attributes:
        name: dataset key ("nyuv2", "scenes" ...) or the path of a dataset description file.
        size: network input (height, width) in pixels: multiples of 32, but for HRNet.
        augment: key of a training augmentation (`mtlrepro.data.transforms.augment.AUGMENTATIONS`).
        train: number of training samples, None for the whole split.
        val: number of evaluation samples, None for the whole split.
        options: dataset-specific settings, such as `classes=13` of the embedded scenes.
        normalise: what the network's input is, a key of `mtlrepro.data.sample.NORMALISE`.
        labels: key of a partial-label setting (`mtlrepro.data.partial.SETTINGS`).
        labels_over: the tasks among which that setting deals out labels, in its column order.
        unlabelled: percent of the training samples that lose all their labels.
        extra: a second stream of training samples.
        val_name: key of the dataset whose evaluation split is used, where it is not that of `name`; its tasks and
            classes must be those of the training samples.
        val_options: settings of that dataset.
        percent: share of the training samples that is used, drawn once for all; smaller ones are part of larger ones.
        percent_seed: what they are drawn from.
    """

    name: str
    size: tuple[int, int]
    augment: str = "flip_zoom"
    train: int | None = None
    val: int | None = None
    options: Options = ()
    normalise: str = "imagenet"
    labels: str = "full"
    labels_over: tuple[str, ...] = ()
    unlabelled: int = 0
    extra: ExtraData = ExtraData()
    val_name: str = field(default="", metadata=LATE)
    val_options: Options = field(default=(), metadata=LATE)
    percent: int = field(default=100, metadata=LATE)
    percent_seed: int = field(default=0, metadata=LATE)


@dataclass(frozen=True)
class ModelSpec:
    """Which network.

    Attributes:
        arch: architecture key (`mtlrepro.models.MODELS`).
        backbone: backbone key (`mtlrepro.models.backbones.BACKBONES`).
        weights: pinned tag of the backbone's initial weights, None for random initialisation.
        main: tasks that are predicted at the end and evaluated.
        aux: tasks predicted by the front-end (contains `main`); empty for models without one.
        options: keyword arguments of the architecture.
    """

    arch: str
    backbone: str
    main: tuple[str, ...]
    aux: tuple[str, ...] = ()
    weights: str | None = None
    options: Options = ()


@dataclass(frozen=True)
class WeightingSpec:
    """How the task losses become what is minimised.

    Attributes:
        name: weighting key (`mtlrepro.objectives.weighting.WEIGHTINGS`).
        options: keyword arguments of the weighting.
    """

    name: str = "fixed"
    options: Options = ()


@dataclass(frozen=True)
class ObjectiveSpec:
    """What is minimised: an objective key (`mtlrepro.objectives.OBJECTIVES`), task losses and fixed task weights.

    Attributes:
        name: objective key.
        weights: (task, weight) pairs; a task that is not named weighs 1.
        options: keyword arguments of the objective.
        losses: (task, loss) pairs; a task that is not named has its first (`mtlrepro.tasks.base.Task.LOSSES`).
        weighting: what weighs the task losses anew while the network trains, if anything does.
    """

    name: str = "supervised"
    weights: Options = ()
    options: Options = ()
    losses: Options = ()
    weighting: WeightingSpec = field(default=WeightingSpec(), metadata=LATE)


@dataclass(frozen=True)
class Recipe:
    """Optimizer, schedule, batch and length.

    Attributes:
        optimizer: key of an optimizer (`mtlrepro.engine.optim.OPTIMIZERS`).
        lr: base learning rate.
        weight_decay: coupled L2 weight decay on all parameters.
        batch: images a step.
        epochs: passes over the training samples; not used where `steps` says how long the training is.
        momentum: for SGD.
        schedule: key of a learning-rate schedule (`mtlrepro.engine.optim.SCHEDULES`).
        evaluate_every: epochs between evaluations; 0 evaluates once, at the end. A table's selection rule may read
            any of them; the checkpoint holds the weights after the last step.
        extra: images a step from the second stream (`DataSpec.extra`), besides `batch`.
        drop_last: whether the last incomplete batch of a pass is dropped.
        steps: length of the training in optimizer steps; the learning rate then changes with every step. 0 trains
            for `epochs`, and the rate changes once an epoch.
        encoder_lr: base learning rate of the backbone, where it is not `lr`; 0 freezes it, batch norms included.
        clip: largest L2 norm of the gradient of all parameters together, to which longer ones are scaled; 0 for any.
        precision: arithmetic of the training and of its evaluation, a key of `mtlrepro.engine.precision.PRECISIONS`;
            "paper" is the papers' own.
        ranks: processes that share every batch of `batch` images, each on a device of its own.
        sync_bn: whether batch normalisation sees the whole batch where processes share it; else each sees its share.
    """

    optimizer: str
    lr: float
    weight_decay: float
    batch: int
    epochs: int
    momentum: float = 0.9
    schedule: str = "poly"
    evaluate_every: int = 0
    extra: int = 0
    drop_last: bool = True
    steps: int = field(default=0, metadata=LATE)
    encoder_lr: float | None = field(default=None, metadata=LATE)
    clip: float = field(default=0.0, metadata=LATE)
    precision: str = field(default="paper", metadata=LATE)
    ranks: int = field(default=1, metadata=LATE)
    sync_bn: bool = field(default=False, metadata=LATE)


@dataclass(frozen=True)
class RunSpec:
    """One training run, but for its seed.

    Attributes:
        needs: runs that must be finished before this one, with the same seed, such as its teachers'.
        start: whether the weights start from those of the first of `needs`, as far as names and shapes agree; for an
            architecture made of single-task networks, from the first of them, one a main task, all of their weights.
            The objective is given the others.
    """

    data: DataSpec
    model: ModelSpec
    recipe: Recipe
    objective: ObjectiveSpec = ObjectiveSpec()
    needs: tuple[RunSpec, ...] = ()
    start: bool = field(default=False, metadata=LATE)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task of the network, main ones first."""
        return tuple(dict.fromkeys(self.model.main + self.model.aux))

    @property
    def label(self) -> str:
        """A short human name, for logs and reports; not unique."""
        m, o, d = self.model, self.objective, self.data
        tasks = "+".join(m.main)
        extra = [t for t in m.aux if t not in m.main]
        opts = ",".join(f"{k}={v}" for k, v in (*m.options, *o.options, *o.losses))
        scheme = ",".join([o.weighting.name, *(f"{k}={v}" for k, v in o.weighting.options)])
        labels = (d.labels if d.labels != "full" else "") + (f"-{d.unlabelled}%" if d.unlabelled else "")
        where = f" {d.name} → {d.val_name}" if d.val_name else ""
        where += f" {d.percent} %" if d.percent != 100 else ""
        where += f" + {d.extra.name}" if d.extra.name else ""
        usual = ("supervised", "fixed")
        words = " ".join(word for word in (o.name, scheme, labels) if word and word not in usual)
        network = f"{m.arch}/{m.backbone}[{tasks}{'|' + '+'.join(extra) if extra else ''}]"
        return f"{network}{'{' + opts + '}' if opts else ''}{' ' + words if words else ''}{where}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` turns back into an equal spec."""
        return json.loads(json.dumps(_plain(self)))

    @classmethod
    def from_json(cls, value: dict[str, Any], file: str | None = None) -> RunSpec:
        """The inverse of `to_json`.

        Raises:
            SpecError: on an unknown or missing key or a value of another type, naming `file` and the key.
        """
        return _build(cls, value, file, "spec")

    def hash(self) -> str:
        """Hex digest of the spec's canonical JSON (16 digits); equal specs have equal hashes.

        Raises:
            SpecError: if a number in it is not finite.
        """
        return digest(self.to_json())


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, without the `LATE` fields that hold their default."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {f.name: (f, getattr(value, f.name)) for f in dataclasses.fields(value)}
    return {name: _plain(v) for name, (f, v) in fields.items() if "late" not in f.metadata or v != f.default}


def digest(value: Any, length: int = 16) -> str:
    """Hex SHA-256 of a JSON value in canonical form: sorted keys, no blanks, one form for equal numbers.

    Raises:
        SpecError: if a number in it is not finite.

    Example:
        >>> digest({"lr": 1}) == digest({"lr": 1.0})
        True
    """
    try:
        text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise SpecError(f"a number is not finite: {error}", field="spec", mend="Use finite numbers") from None
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(v) for v in value]
    # Python holds 1, 1.0 and True for equal, so specs that differ in that alone are one spec.
    return int(value) if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()) else value


def fits(value: Any, hint: Any) -> bool:
    """Whether a value read from a file is of a field's annotated type; an integer counts as a float.

    Example:
        >>> fits((64, 96), tuple[int, int]), fits("64x96", tuple[int, int])
        (True, False)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, a) for a in arguments)
    if origin is tuple:
        items = arguments[:1] * len(value) if isinstance(value, tuple) and arguments[-1] is Ellipsis else arguments
        return isinstance(value, tuple) and len(value) == len(items) and all(map(fits, value, items))
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def type_name(hint: Any) -> str:
    """An annotated type as an error message shows it."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _build(cls: Any, value: Any, file: str | None, field: str) -> Any:
    if not isinstance(value, dict):
        mend = f"Give an object with {', '.join(f.name for f in dataclasses.fields(cls))}"
        raise SpecError(f"expected an object, got {type(value).__name__}", file=file, field=field, mend=mend)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = _hints(cls)
    for key in value:
        if key not in fields:
            raise unknown("key", key, fields, file=file, field=field)
    kwargs: dict[str, Any] = {}
    for name, f in fields.items():
        if name not in value:
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
                raise SpecError(f"missing key {name!r}", file=file, field=field, mend="Add it")
            continue
        hint, where = hints[name], f"{field}.{name}"
        kwargs[name] = _value(hint, value[name], file, where)
        if not fits(kwargs[name], hint):
            mend = f"Give a value of type {type_name(hint)}"
            raise SpecError(f"unexpected value {value[name]!r}", file=file, field=where, mend=mend)
    return cls(**kwargs)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, value: Any, file: str | None, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, file, where)
    item = get_args(hint)[0] if get_origin(hint) is tuple else None
    if dataclasses.is_dataclass(item) and isinstance(value, list):
        return tuple(_build(item, v, file, f"{where}[{i}]") for i, v in enumerate(value))
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
