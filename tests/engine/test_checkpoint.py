from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.engine import checkpoint
from mtlrepro.engine.checkpoint import Position
from mtlrepro.engine.optim import OPTIMIZERS, build_optimizer
from mtlrepro.errors import StoreError
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.spec import Recipe

SPENT = {"train": 1.5, "steps": 1.25}


class Owner(Objective):
    """Has a parameter, one that never gets a gradient, and one that learns at a rate of its own."""

    def __init__(self) -> None:
        super().__init__({}, {})
        self.film = nn.Parameter(torch.ones(()))
        self.scale = nn.Parameter(torch.ones(()))
        self.unused = nn.Parameter(torch.ones(2))

    def groups(self) -> list[Group]:
        return [Group([self.film], 10.0, 0.15)]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        raise NotImplementedError


class State:
    """Model, objective and optimizer after some steps."""

    def __init__(self, optimizer: str = "adam", seed: int = 0, steps: int = 3, width: int = 4):
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.objective = Owner()
        self.optimizer = build_optimizer(self.model, self.objective, Recipe(optimizer, 1e-2, 1e-3, 2, 1))
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        scale = self.objective.scale * self.objective.film
        loss = (scale * self.model(torch.ones(2, 3, 5, 5)).square()).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def save(self, path: Path, step: int = 3) -> None:
        checkpoint.save(path, self.model, self.objective, self.optimizer, Position(step, SPENT))

    def load(self, path: Path) -> Position:
        return checkpoint.load(path, self.model, self.objective, self.optimizer)

    def bits(self) -> dict[str, Tensor]:
        bits = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        bits |= {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            bits |= {f"{index}.{k}": v for k, v in state.items()}
        return {k: v.clone() for k, v in bits.items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[k], second[k]) and first[k].dtype == second[k].dtype for k in first
    )


def write_with(path: Path, change: dict[str, Tensor | None], meta: dict[str, str] | None = None) -> None:
    """Rewrite a checkpoint as another program might have, checksum included; None drops a tensor."""
    tensors, found = checkpoint.read(path)
    found = {**found, **(meta or {})}
    tensors = {k: v for k, v in {**tensors, **change}.items() if v is not None}
    save_file(tensors, path, metadata={**found, "crc32": str(checkpoint._crc(tensors, found))})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_round_trip_keeps_every_bit_and_what_follows(optimizer: str, tmp_path: Path) -> None:
    state, other = State(optimizer), State(optimizer, seed=1, steps=0)
    state.save(tmp_path / "c")
    assert other.load(tmp_path / "c") == Position(3, SPENT)
    assert same(state.bits(), other.bits())
    for s in (state, other):
        s.step()
    assert same(state.bits(), other.bits())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c"]


class Adversary(Owner):
    """Its parameter has an optimizer of its own."""

    def groups(self) -> list[Group]:
        return [Group([self.film], 10.0, optimizer="adam_b99")]


def two(steps: int) -> State:
    state = State("sgd", steps=0)
    state.objective = Adversary()
    state.optimizer = build_optimizer(state.model, state.objective, Recipe("sgd", 1e-2, 1e-3, 2, 1))  # type: ignore[assignment]
    for _ in range(steps):
        state.step()
    return state


def test_two_optimizers_come_back_as_they_were(tmp_path: Path) -> None:
    state, other = two(3), two(0)
    state.save(tmp_path / "c")
    other.load(tmp_path / "c")
    for s in (state, other):
        s.step()
    assert same(state.bits(), other.bits())
    tensors, _ = checkpoint.read(tmp_path / "c")
    last = max(int(k.split(".")[1]) for k in tensors if k.startswith("optimizer."))
    write_with(tmp_path / "c", {f"optimizer.{last}.exp_avg_sq": None})
    two(0).load(tmp_path / "c")  # the only parameter of its optimizer: nothing tells that it had more state
    write_with(tmp_path / "c", {"optimizer.0.momentum_buffer": None})
    two(0).load(tmp_path / "c")  # as a parameter without a gradient


def test_a_network_starts_from_what_fits_of_another(tmp_path: Path) -> None:
    def network(outputs: int, *tasks: str) -> nn.Module:
        heads = {task: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, outputs)) for task in tasks}
        return nn.ModuleDict({"backbone": nn.Linear(2, 4), "heads": nn.ModuleDict(heads)})

    old, new = network(1, "depth"), network(3, "semseg", "depth")
    optimizer = torch.optim.SGD(old.parameters(), 0.1)
    checkpoint.save(tmp_path / "c", old, Owner(), optimizer, Position(3))
    before = {k: v.clone() for k, v in new.state_dict().items()}
    taken = checkpoint.start(tmp_path / "c", new, Owner(), ("semseg", "depth"), ("depth",))
    after, source = new.state_dict(), old.state_dict()
    assert taken == 2 + 2 * 2 + 3  # backbone, both tasks' first layers, the objective
    assert torch.equal(after["backbone.weight"], source["backbone.weight"])
    for task in ("semseg", "depth"):
        assert torch.equal(after[f"heads.{task}.0.weight"], source["heads.depth.0.weight"])
        assert torch.equal(after[f"heads.{task}.1.weight"], before[f"heads.{task}.1.weight"])  # another width
    with pytest.raises(StoreError, match="holds no tensor that fits"):
        checkpoint.start(tmp_path / "c", nn.Conv2d(9, 9, 9), nn.Module(), (), ())
    with pytest.raises(StoreError, match="no checkpoint of a run that another one starts from"):
        checkpoint.start(tmp_path / "none", new, Owner(), (), ())


def test_loss_weights_are_those_of_a_run_of_its_own(tmp_path: Path) -> None:
    old, new = Owner(), Owner()
    for owner, weight in ((old, 5.0), (new, 1.0)):
        owner.weighting.register_buffer("history", torch.tensor(weight))
    model = nn.Linear(2, 1)
    checkpoint.save(tmp_path / "c", model, old, torch.optim.SGD(model.parameters(), 0.1), Position(3))
    checkpoint.start(tmp_path / "c", model, new, ("depth",), ("depth",))
    assert float(new.get_buffer("weighting.history")) == 1.0
    checkpoint.load(tmp_path / "c", model, new)  # the same run goes on
    assert float(new.get_buffer("weighting.history")) == 5.0


def test_adam_state_is_stored_whole(tmp_path: Path) -> None:
    State().save(tmp_path / "c")
    tensors, _ = checkpoint.read(tmp_path / "c")
    assert {k.split(".", 2)[2] for k in tensors if k.startswith("optimizer.")} == {"step", "exp_avg", "exp_avg_sq"}
    assert float(tensors["optimizer.0.step"]) == 3
    assert "optimizer.5.step" not in tensors  # no gradient, no state
    assert float(tensors["optimizer.6.step"]) == 3  # the group of its own comes last
    assert "objective.film" in tensors


def test_sgd_without_momentum_has_no_state(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path / "c", model, nn.Identity(), optimizer, Position(1))
    assert checkpoint.load(tmp_path / "c", model, nn.Identity(), optimizer).step == 1


def test_weights_alone_can_be_loaded(tmp_path: Path) -> None:
    state, other = State(), State(seed=1, steps=0)
    state.save(tmp_path / "c")
    assert checkpoint.load(tmp_path / "c", other.model, other.objective).step == 3
    assert torch.equal(state.model[0].weight, other.model[0].weight)


def test_the_network_alone_can_be_loaded_without_its_objective(tmp_path: Path) -> None:
    state, other = State(), State(seed=1, steps=0)
    state.save(tmp_path / "c")
    before = {k: v.clone() for k, v in other.objective.state_dict().items()}
    checkpoint.load_model(tmp_path / "c", other.model)
    assert same(state.model.state_dict(), other.model.state_dict())
    assert same(before, other.objective.state_dict())


def test_a_needed_checkpoint_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no checkpoint of a run that another one needs\. Delete the folder"):
        checkpoint.load_model(tmp_path / "c", State().model)


def test_of_a_finished_run_more_has_to_go_than_a_corrupt_checkpoint(tmp_path: Path) -> None:
    """Without it alone the run still counts as finished, and is not trained again."""
    (tmp_path / "c").write_bytes(b"torn")
    state = State()
    for restore in (
        lambda: checkpoint.load_model(tmp_path / "c", state.model),
        lambda: checkpoint.start(tmp_path / "c", state.model, state.objective, ("a",), ("a",)),
    ):
        with pytest.raises(StoreError, match="corrupt checkpoint") as caught:
            restore()
        assert caught.value.mend.startswith("Delete the folder")


def test_a_network_that_does_not_fit_is_told_and_kept(tmp_path: Path) -> None:
    State(width=4).save(tmp_path / "c")
    other = State(width=5)
    before = other.bits()
    with pytest.raises(StoreError, match=r"model\.0\.bias: \(4,\) torch\.float32 does not fit \(5,\)") as caught:
        checkpoint.load_model(tmp_path / "c", other.model)
    assert (caught.value.file, caught.value.field) == (tmp_path / "c", "model.0.bias")
    with pytest.raises(StoreError, match=r"model\.2\.bias: missing tensor"):
        checkpoint.load_model(tmp_path / "c", nn.Sequential(*State().model[:2], nn.Conv2d(1, 1, 1)))
    with pytest.raises(StoreError, match=r"model\.1\.bias: unexpected tensor"):
        checkpoint.load_model(tmp_path / "c", State().model[:1])
    assert same(before, other.bits())


def test_loaded_tensors_do_not_hang_on_the_file(tmp_path: Path) -> None:
    state = State()
    state.save(tmp_path / "c")
    tensors, _ = checkpoint.read(tmp_path / "c")
    with (tmp_path / "c").open("r+b") as file:
        file.write(b"\xff" * (tmp_path / "c").stat().st_size)  # in place, so a memory map would see it
    assert torch.equal(tensors["model.0.weight"], state.model[0].weight)


def test_any_truncation_is_found(tmp_path: Path) -> None:
    path, state = tmp_path / "c", State()
    state.save(path)
    whole, before = path.read_bytes(), state.bits()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"corrupt checkpoint.*Delete the file") as caught:
            state.load(path)
        assert caught.value.file == path
    assert same(before, state.bits())


def test_any_flipped_byte_is_found(tmp_path: Path) -> None:
    """In the header (names, types, shapes, offsets, position) as in the tensors."""
    path, state = tmp_path / "c", State()
    state.save(path)
    whole, before = path.read_bytes(), state.bits()
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(0, header, 3), *range(header, len(whole), 97), len(whole) - 1]
    missed = []
    for place in places:
        for flip in (0x01, 0x20, 0xFF):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                state.load(path)
            except StoreError:
                continue
            missed.append(place)
    assert [place for place in missed if whole[place : place + 1] != b" "] == []  # padding carries nothing
    assert same(before, state.bits())


def test_the_position_is_protected(tmp_path: Path) -> None:
    path, state = tmp_path / "c", State()
    state.save(path)
    whole = path.read_bytes()
    altered = whole.replace(rb"{\"seconds\"", rb"{\"Seconds\"").replace(rb"\"step\": 3", rb"\"step\": 7")
    assert altered != whole
    assert len(altered) == len(whole)
    path.write_bytes(altered)
    with pytest.raises(StoreError, match="checksum"):
        state.load(path)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    State().save(tmp_path / "c")
    write_with(tmp_path / "c", {}, {"schema_version": "2"})
    with pytest.raises(StoreError, match=r"schema_version: schema version '2', this program reads 1"):
        State().load(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"model.0.weight": None}, "model.0.weight", "missing"),
        ({"objective.scale": None}, "objective.scale", "missing"),
        ({"model.9.weight": torch.ones(1)}, "model.9.weight", "unexpected"),
        ({"model.0.bias": torch.ones(5)}, "model.0.bias", "does not fit"),
        ({"model.0.bias": torch.ones(4, dtype=torch.int32)}, "model.0.bias", "does not fit"),
        ({"optimizer.1.exp_avg": None}, "optimizer.1.exp_avg", "missing"),
        ({"optimizer.1.exp_avg": torch.ones(7)}, "optimizer.1.exp_avg", "does not fit"),
        ({"optimizer.77.step": torch.ones(())}, "optimizer.77.step", "unexpected"),
    ],
)
def test_tensors_that_do_not_fit_change_nothing(
    change: dict[str, Tensor | None], field: str, problem: str, tmp_path: Path
) -> None:
    State().save(tmp_path / "c")
    write_with(tmp_path / "c", change)
    state = State(seed=1, steps=1)
    before = state.bits()
    with pytest.raises(StoreError, match=problem) as caught:
        state.load(tmp_path / "c")
    assert caught.value.field == field
    assert same(before, state.bits())


def test_another_model_is_refused(tmp_path: Path) -> None:
    State(width=4).save(tmp_path / "c")
    with pytest.raises(StoreError, match=r"model\.0\.bias: \(4,\) torch\.float32 does not fit \(5,\)"):
        State(width=5).load(tmp_path / "c")


class _Bomb:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_pickle_is_refused_and_never_executed(tmp_path: Path) -> None:
    bomb = _Bomb(tmp_path / "executed")
    torch.save({"model": bomb}, tmp_path / "zip")
    (tmp_path / "plain").write_bytes(pickle.dumps(bomb))
    for name in ("zip", "plain"):
        with pytest.raises(StoreError, match="corrupt checkpoint"):
            State().load(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("broken", ["mtlrepro.engine.checkpoint.save_file", "os.replace", "os.fsync"])
def test_a_full_disk_leaves_the_old_checkpoint_alone(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State()
    state.save(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    state.step()

    def full(first: object, file: Path | None = None, **rest: object) -> None:
        if broken.endswith("save_file"):
            assert isinstance(file, Path)
            file.write_bytes(b"torn")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(broken, full)
        with pytest.raises(StoreError, match=r"No space left.*Free disk space") as caught:
            state.save(tmp_path / "c", step=4)
    assert caught.value.file == tmp_path / "c"
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    assert (tmp_path / "c").read_bytes() == before


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write the checkpoint"):
        State().save(tmp_path / "nowhere" / "c")


def test_the_file_is_plain_safetensors_with_json_metadata(tmp_path: Path) -> None:
    State().save(tmp_path / "c")
    with safe_open(tmp_path / "c", framework="pt") as file:
        meta = file.metadata()
    assert json.loads(meta["position"]) == {"step": 3, "seconds": SPENT}
    assert set(meta) == {"schema_version", "position", "optimizer", "crc32"}
