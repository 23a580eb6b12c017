"""What a measure learns of the stages that a member went through."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from prunekit import InputError
from prunekit.network import ObservedNetwork, build_network
from prunekit.recipe import load
from prunekit.runner import run
from prunekit.store import Store
from prunekit.study import resolve
from prunekit.worker import Setup, Worker

RECIPE = """\
name: past
data: {name: digits, validation: 100}
model: mlp_300_100
seeds: 1
populations:
  first:
    stages:
      prune: {schedule: {name: exponential, sparsity: 0.9, rounds: 3}}
  sparse:
    from: first
    stages:
      train:
        {objective: cross_entropy, epochs: 2, batch_size: 200, optimizer: {name: sgd, lr: 0.1}, select: best_validation}
"""


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> ObservedNetwork:
    """A trained member whose store is at hand."""
    folder = tmp_path_factory.mktemp("past")
    (folder / "past.yaml").write_text(RECIPE)
    assert not run(folder / "past.yaml", out=folder / "runs", jobs=1).failures
    study = resolve(load(folder / "past.yaml"))
    setup = Setup(
        store=str(folder / "runs"),
        device="cpu",
        threads=1,
        files={},
        data={"name": "digits", "validation": 100},
        fingerprint=str(study.fingerprint),
        model="mlp_300_100",
    )
    worker = Worker(setup, emit=lambda event: None)
    key = study.populations["sparse"].members[0].key
    found: ObservedNetwork = worker._observed(0, key, worker._member(0, key), "test")
    return found


def best_epoch(epochs: Any) -> int:
    return int(max(epochs, key=lambda row: row["accuracy"])["epoch"])


def weights(member: Any) -> dict[str, torch.Tensor]:
    return dict(member._network.state_dict())


def test_the_stages_come_in_order_with_what_they_are_made_of(member: ObservedNetwork) -> None:
    prune, train = member.past()
    assert (prune.kind, train.kind) == ("prune", "train")
    assert prune.options == {"schedule": {"name": "exponential", "sparsity": 0.9, "rounds": 3}}
    assert train.options["objective"] == "cross_entropy"
    assert [row["epoch"] for row in train.epochs] == [1, 2]
    assert [update["iteration"] for update in prune.updates] == [0, 1, 2]
    assert (list(prune.epochs), list(train.updates)) == ([], [])
    assert (prune.selected, train.selected) == (None, best_epoch(train.epochs))


def test_a_member_comes_back_as_it_was_after_every_stage_and_round(member: ObservedNetwork) -> None:
    prune, train = member.past()
    assert all(torch.equal(value, weights(member)[name]) for name, value in weights(train.after()).items())
    study = resolve(load_recipe())
    first = build_network(study.recipe.model, study.data, seed=0).state_dict()
    total = 64 * 300 + 300 * 100 + 100 * 10
    before = first
    for i in range(3):
        now = weights(prune.after(i))
        zeros = sum(int((value == 0).sum()) for name, value in now.items() if name.endswith("weight"))
        assert zeros == round(total * (1 - 0.1 ** ((i + 1) / 3)))
        assert all(torch.equal(value, first[name] * (value != 0)) for name, value in now.items())
        change = sum(float((before[name] - value).double().square().sum()) for name, value in now.items())
        assert prune.updates[i]["squared_change"] == pytest.approx(change)
        before = now
    assert all(torch.equal(value, before[name]) for name, value in weights(prune.after()).items())


def load_recipe() -> Any:
    """The same recipe without a store."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "past.yaml"
        path.write_text(RECIPE)
        return load(path)


def test_a_round_that_there_was_not_is_refused(member: ObservedNetwork) -> None:
    prune, train = member.past()
    for stage, index in ((prune, 3), (prune, -1), (train, 0)):
        with pytest.raises(InputError, match=f"has no round {index}"):
            stage.after(index)


def test_loss_and_accuracy_are_those_of_the_part(member: ObservedNetwork) -> None:
    data, network = member._data, member._network
    for part, size in (("train", 900), ("validation", 100), ("test", 797)):
        images = torch.cat([batch.images[0] for batch in data.batches(part)])  # type: ignore[arg-type]
        labels = getattr(data.source, part).labels
        assert len(labels) == size
        with torch.no_grad():
            logits = network.logits(images)
        assert member.loss(part) == pytest.approx(float(F.cross_entropy(logits.double(), torch.from_numpy(labels))))  # type: ignore[arg-type]
        assert member.accuracy(part) == np.mean(logits.argmax(1).numpy() == labels)  # type: ignore[arg-type]


def test_stages_of_an_older_version_say_what_they_do_not_know(member: ObservedNetwork) -> None:
    prune = member.past()[0]
    assert isinstance(prune.store, Store)  # type: ignore[attr-defined]
    folder = prune.store.stage_folder(prune.key)  # type: ignore[attr-defined]
    record = prune.store.find_stage(prune.key)  # type: ignore[attr-defined]
    older = {key: value for key, value in record.items() if key != "files"}
    stage = prune.store.load_stage(prune.key)  # type: ignore[attr-defined]
    prune.store.save_stage(  # type: ignore[attr-defined]
        prune.key,  # type: ignore[attr-defined]
        type(stage)(stage.weights, stage.masks, older),
        {"epochs": [], "updates": [{"iteration": i, "epoch": float(i), "sparsity": 0.5} for i in range(3)]},
    )
    assert (folder / "rounds.safetensors").exists()  # no longer named by the record
    member = ObservedNetwork(member._network, member._data, "test", member._past)
    prune = member.past()[0]
    assert [update["squared_change"] for update in prune.updates] == [None] * 3
    with pytest.raises(InputError, match="what each round pruned was not recorded"):
        prune.after(0)
    prune.after()


def test_what_a_stage_left_is_looked_at_once_however_many_measures_ask(member: ObservedNetwork) -> None:
    assert member.past() is member.past()
    assert member.past()[0].after() is member.past()[0].after()
