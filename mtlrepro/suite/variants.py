"""Declared runs on datasets that are read with other settings (`--data-option`), and what reports say of settings.

A setting is a keyword that a dataset's class takes beyond those that all take. What readers say of theirs in words, and
which declared values stand whatever is chosen, see `mtlrepro.data.disk.folder.Folder` (`remark`, `KEPT`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_type_hints

from mtlrepro.data import dataset_class, dataset_info
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.scenes.generated import Generated
from mtlrepro.data.streams import UNLABELLED
from mtlrepro.errors import SpecError, unknown
from mtlrepro.objectives.numbers import finite
from mtlrepro.spec import Options, RunSpec, fits, options, type_name
from mtlrepro.suite.shrink import SIZES, TWINS, full
from mtlrepro.suite.tiers import Service

FLAG = "--data-option"

WORDS = {"true": True, "false": False}

NO_MATTER = "which makes no difference to embedded scenes"
"""What is said of a setting that a tier's twins do not take over."""

_COMMON = {*SIZES, *(name for base in (Folder, Generated) for name in inspect.signature(base.__init__).parameters)}


class Setting(NamedTuple):
    """What a dataset's class says of a keyword."""

    default: Any
    hint: Any


class Change(NamedTuple):
    """A setting of a dataset that a user wants other than it is declared."""

    dataset: str
    name: str
    declared: Any
    chosen: Any

    @property
    def text(self) -> str:
        """In words, without the dataset."""
        return f"{self.name}={_text(self.chosen)} in place of {_text(self.declared)}"

    @property
    def kept(self) -> str:
        """Why the setting stays as it is declared all the same; "" where it is changed."""
        cls = dataset_class(self.dataset)
        return cls.KEPT.get(self.name, {}).get(self.declared, "") if issubclass(cls, Folder) else ""


def parse(texts: Iterable[str], flag: str = FLAG, example: str = "policy=disjoint") -> Options:
    """("NAME=VALUE", ...) as options; a value is a number, true, false or text.

    Args:
        texts: as given.
        flag: the command line's option that they were given with.
        example: of what could be given.

    Example:
        >>> parse(["policy=disjoint", "split_seed=43"])
        (('policy', 'disjoint'), ('split_seed', 43))

    Raises:
        SpecError: not of that form, or a name given twice.
    """
    chosen: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise SpecError(f"{text!r} is not NAME=VALUE", field=flag, mend=f"For example {example}")
        if name in chosen:
            raise SpecError(f"{name!r} is given twice", field=flag, mend="Give it once")
        chosen[name] = _value(value)
    return options(**chosen)


def check(specs: Iterable[RunSpec], chosen: Options) -> None:
    """Can datasets of these runs be read so? Looks at no file of theirs.

    Args:
        specs: as declared.
        chosen: settings by name.

    Raises:
        SpecError: no dataset has a setting of that name, or a value that a reader refuses.
    """
    if not chosen:
        return
    parts = dict.fromkeys(part for spec in specs for part in _parts(varied(spec, chosen)))
    known = {name: settings(name) for name, _ in parts}
    for name, value in chosen:
        hints = [of[name].hint for of in known.values() if name in of]
        if not hints:
            raise unknown("setting of these datasets", name, {n for of in known.values() for n in of}, field=FLAG)
        for hint in hints:
            if not fits(value, hint):
                mend = f"Give a value of type {type_name(hint)}"
                raise SpecError(f"unexpected value {value!r}", field=f"{FLAG} {name}", mend=mend)
    for dataset, of in parts:
        dataset_info(dataset, of)
        # A value that a reader does not know is a slip even where the declared one stays.
        dataset_info(dataset, options(**{**dict(of), **{n: v for n, v in chosen if n in known[dataset]}}))


def varied(spec: RunSpec, chosen: Options) -> RunSpec:
    """The run, and those it needs, with every dataset that has settings of those names read so.

    A setting that is as chosen anyhow stays as it is written, so that the run is the same; and so does a value that
    the reader names in `KEPT`.
    """
    if not chosen:
        return spec

    def read(name: str, of: Options) -> Options:
        changed = {change.name: change.chosen for change in _wanted(name, of, chosen) if not change.kept}
        return options(**{**dict(of), **changed})

    return _mapped(spec, read)


def variation(specs: Iterable[RunSpec], tier: str | None, chosen: Options) -> str:
    """What of the chosen settings makes runs at a tier other ones than those declared; "" where nothing does.

    Args:
        specs: as declared.
        tier: that they are served at; None for not at all.
        chosen: settings by name.
    """
    changes = dict.fromkeys(
        (spec, change) for spec in specs if tier for part in _parts(spec) for change in _wanted(*part, chosen)
    )
    matter = [change.text for spec, change in changes if not change.kept and _matters(spec, change, tier or "")]
    return "; ".join(dict.fromkeys(matter))


def remarks(rows: Mapping[str, tuple[Sequence[RunSpec], Service]], chosen: Options) -> list[str]:
    """Sentences below a table: how the files of its rows were read, and what of that was chosen by the user.

    Args:
        rows: by name, runs as declared, and as they are served.
        chosen: settings by name.
    """
    read = dict.fromkeys(part for _, service in rows.values() for spec in service.specs for part in _parts(spec))
    said = [text for part in read if (text := _remark(*part))]
    lines = [f"Read with: {'; '.join(dict.fromkeys(said))}."] if said else []
    run = {name: (specs, service.tier) for name, (specs, service) in rows.items() if service.tier}
    found: dict[Change, dict[str, bool]] = {}
    for name, (specs, tier) in run.items():
        for spec in specs:
            for change in [change for part in _parts(spec) for change in _wanted(*part, chosen)]:
                where = found.setdefault(change, {})
                where[name] = where.get(name, False) or (not change.kept and _matters(spec, change, tier))
    if found:
        texts = [_told(change, where, len(where) == len(run)) for change, where in found.items()]
        printed = any(tier in TWINS for _, tier in run.values()) and not all(change.kept for change in found)
        end = " Printed figures are of the declared settings." if printed else ""
        lines.append(f"Chosen by {FLAG}: {'; '.join(texts)}.{end}")
    return lines


def _told(change: Change, where: Mapping[str, bool], everywhere: bool) -> str:
    """What became of a chosen setting, and in which rows unless in all; row -> whether its runs differ by that."""
    rows = "" if everywhere else f" in {', '.join(map(repr, where))}"
    if change.kept:
        return f"{change.dataset} {change.name}={_text(change.declared)} stays{rows} ({change.kept})"
    matter = "" if any(where.values()) else f" ({NO_MATTER})"
    return f"{change.dataset} {change.text}{rows}{matter}"


def settings(name: str) -> dict[str, Setting]:
    """The settings of a dataset that a user can choose: name -> default and type. Sizes are the paper's."""
    cls = dataset_class(name)
    hints = _hints(cls)
    parameters = inspect.signature(cls.__init__).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in _COMMON]
    return {p.name: Setting(p.default, hints.get(p.name, Any)) for p in named}


def _hints(cls: Any) -> dict[str, Any]:
    """Types of its constructor's keywords; none where a user's own class names types that cannot be found."""
    try:
        return get_type_hints(cls.__init__)
    except NameError:
        return {}


def _mapped(spec: RunSpec, read: Callable[[str, Options], Options]) -> RunSpec:
    """The run with options of its datasets, and of those of the runs it needs, made by `read(name, options)`."""

    def of(name: str, given: Options) -> Options:
        return given if name in ("", UNLABELLED) else read(name, given)

    data, extra = spec.data, spec.data.extra
    data = replace(
        data,
        options=of(data.name, data.options),
        extra=replace(extra, options=of(extra.name, extra.options)),
        val_options=of(data.val_name, data.val_options),
    )
    return replace(spec, data=data, needs=tuple(_mapped(need, read) for need in spec.needs))


def _parts(spec: RunSpec) -> list[tuple[str, Options]]:
    """Datasets with their options of a run and of those it needs."""
    parts: list[tuple[str, Options]] = []

    def note(name: str, given: Options) -> Options:
        parts.append((name, given))
        return given

    _mapped(spec, note)
    return parts


def _wanted(dataset: str, of: Options, chosen: Options) -> list[Change]:
    """Settings of a dataset that are declared otherwise than they are chosen."""
    known, given = settings(dataset), dict(of)
    found = [Change(dataset, k, given.get(k, known[k].default), value) for k, value in chosen if k in known]
    return [change for change in found if change.chosen != change.declared]


def _matters(spec: RunSpec, change: Change, tier: str) -> bool:
    """Whether what is run at a tier differs by the change: the tier's embedded scenes may have no such setting."""
    twin = TWINS.get(tier, full)
    return twin(varied(spec, options(**{change.name: change.chosen}))) != twin(spec)


def _remark(dataset: str, of: Options) -> str:
    """What a dataset's class says of its options; "" for one that says nothing."""
    cls = dataset_class(dataset)
    said = cls.remark(**dict(of)) if issubclass(cls, Folder) else ""
    return f"{dataset} {said}" if said else ""


def _value(text: str) -> Any:
    """The number, true or false that it says, else the text; a whole number of more than 64 bits is not exact."""
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        if finite(value):
            return value
    return WORDS.get(text, text)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
