"""Stage results and observations on disk, by key: written atomically, checked when read, shared by all studies.

    <root>/stages/<key>/         weights.safetensors, history.json, stage.json (names and checksums of the others)
                                 perhaps kept.safetensors (weights on the way), rounds.safetensors (what pruned when)
                                 checkpoint-*.safetensors, checkpoint.json while the stage runs
    <root>/observations/<key>/   <split>.parquet, <split>.json, and <split>.<measure>.parquet, .json
    <root>/studies/<id>/         study.json, recipe.json
    <root>/running/, <root>/lock what runs at the moment (see prunekit.sharing)

A JSON file holds its own checksum; a folder is finished when the JSON that names its files is there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from prunekit.errors import InputError, did_you_mean
from prunekit.files import stats, write_whole

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_ROOT = "runs"
ROOT_VARIABLE = "PRUNEKIT_RUNS"


class DamagedError(InputError):
    """A stored file is missing, cut short or altered. The message names it."""


def is_whole(check: Callable[..., Any], *key: str | None) -> bool:
    """Return whether what ``check`` of a store looks for is there; what is damaged is not, for it is done again."""
    try:
        return check(*key) is not None
    except DamagedError:
        return False


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def default_root() -> Path:
    """Return ``PRUNEKIT_RUNS``, or ``./runs``."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


@dataclass(frozen=True)
class StoredStage:
    """The end of a stage: everything that a later one starts from."""

    weights: dict[str, Tensor]
    """Parameters and buffers by name, on the CPU."""
    masks: dict[str, Tensor]
    """bool, by target name: True where the weight is kept."""
    record: Mapping[str, Any]
    """JSON: how it came about."""
    kept: Mapping[str, dict[str, Tensor]] = field(default_factory=dict)
    """Weights on the way, by time; read by :meth:`Store.load_kept`."""
    rounds: Mapping[str, Tensor] = field(default_factory=dict)
    """int16 by target name, the round that pruned each weight; read by :meth:`Store.load_rounds`."""


class Store:
    """The results under one folder. Any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> Store:
        """Return the store under ``root``, made if need be. Raises InputError where it cannot be written to."""
        try:
            root.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=root):
                pass
        except OSError as error:
            raise InputError(
                f"{root}: cannot write results there: {error.strerror} (choose another folder with --out)"
            ) from None
        return cls(root)

    # ------------------------------------------------------------------------------------------------------- stages

    def stage_folder(self, key: str) -> Path:
        """Return the folder of a stage."""
        return self.root / "stages" / key

    def has_stage(self, key: str) -> bool:
        """Return whether the stage is finished, without looking into its files."""
        return (self.stage_folder(key) / "stage.json").exists()

    def check_stage(self, key: str) -> dict[str, Any] | None:
        """Return the record of a finished stage, None where there is none. Raises DamagedError, naming the file."""
        return _checked(self.stage_folder(key) / "stage.json")

    def save_stage(self, key: str, stage: StoredStage, history: Any) -> None:
        """Write a finished stage and forget its checkpoint. Whoever writes it holds it: see :meth:`locked`."""
        from safetensors.torch import save

        folder = self.stage_folder(key)
        files = {
            "weights.safetensors": save(_packed(stage)),
            "history.json": json.dumps(history, indent=1).encode(),
        }
        kept = {f"{time}/{name}": t for time, weights in stage.kept.items() for name, t in weights.items()}
        for name, tensors in (("kept.safetensors", kept), ("rounds.safetensors", dict(stage.rounds))):
            if tensors:
                files[name] = save(_separate(tensors))
        _publish(folder / "stage.json", files, stage.record)
        drafts = folder.glob(".*")  # of processes that were killed as they wrote: nobody else holds the stage
        for file in [*folder.glob("checkpoint-*.safetensors"), folder / "checkpoint.json", *drafts]:
            file.unlink(missing_ok=True)

    def load_stage(self, key: str) -> StoredStage:
        """Return the end of a stage. Raises DamagedError where it is missing, cut short or altered."""
        path = self.stage_folder(key) / "stage.json"
        record = _checked(path)
        if record is None:
            raise DamagedError(f"{path}: is missing")
        return _unpacked(_read_tensors(path.parent / "weights.safetensors"), record)

    def load_history(self, key: str) -> dict[str, Any]:
        """Return the epochs and updates of a finished stage. Raises DamagedError."""
        path = self.stage_folder(key) / "history.json"
        history: dict[str, Any] = json.loads(_content(path, self.find_stage(key)["files"][path.name]))
        return history

    def load_kept(self, key: str, time: str) -> dict[str, Tensor]:
        """Return the weights that a stage kept at ``time``. Raises DamagedError where they are missing or altered."""
        path = self.stage_folder(key) / "kept.safetensors"
        tensors = self._read_extra(key, path)
        kept = {name.removeprefix(f"{time}/"): t for name, t in tensors.items() if name.startswith(f"{time}/")}
        if not kept:
            raise DamagedError(f"{path}: holds no weights at {time}")
        return kept

    def load_rounds(self, key: str) -> dict[str, Tensor]:
        """Return which round pruned each weight, int16 by target name; {} where the stage had but one."""
        return self._read_extra(key, self.stage_folder(key) / "rounds.safetensors")

    def find_stage(self, key: str) -> dict[str, Any]:
        """Return the record of a finished stage, its files unchecked. Raises DamagedError where it is missing."""
        path = self.stage_folder(key) / "stage.json"
        record = _record(path)
        if record is None:
            raise DamagedError(f"{path}: is missing")
        return record

    def _read_extra(self, key: str, path: Path) -> dict[str, Tensor]:
        from safetensors.torch import load

        expected = self.find_stage(key)["files"].get(path.name)
        return {} if expected is None else load(_content(path, expected))

    def save_checkpoint(self, key: str, tensors: dict[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Write where a running stage is after an epoch; the one before stays until this one is whole."""
        from safetensors.torch import save

        folder = self.stage_folder(key)
        file = f"checkpoint-{meta['epoch']}.safetensors"
        _publish(folder / "checkpoint.json", {file: save(_separate(tensors))}, meta)
        for old in folder.glob("checkpoint-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)

    def load_checkpoint(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return tensors and meta of the last finished epoch; None where there is none. Raises DamagedError."""
        path = self.stage_folder(key) / "checkpoint.json"
        meta = _checked(path)
        if meta is None:
            return None
        return _read_tensors(path.parent / f"checkpoint-{meta['epoch']}.safetensors"), meta

    @contextmanager
    def locked(self, key: str, waiting: Any = None) -> Iterator[None]:
        """Hold a stage, so that two runs never do it twice; calls ``waiting`` once where another run holds it."""
        folder = self.stage_folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    # ------------------------------------------------------------------------------------------------- observations

    def observation(self, key: str, split: str, measure: str | None = None) -> Path:
        """Return the Parquet file of what a member says about a split; of the columns of one measure where given."""
        return self.root / "observations" / key / (f"{split}.{measure}.parquet" if measure else f"{split}.parquet")

    def has_observation(self, key: str, split: str, measure: str | None = None) -> bool:
        """Return whether an observation is finished, without looking into its files."""
        return self.observation(key, split, measure).with_suffix(".json").exists()

    def check_observation(self, key: str, split: str, measure: str | None = None) -> dict[str, Any] | None:
        """Return the record of an observation, None where there is none. Raises DamagedError, naming the file."""
        return _checked(self.observation(key, split, measure).with_suffix(".json"))

    def find_observation(self, key: str, split: str, measure: str | None = None) -> dict[str, Any] | None:
        """As :meth:`check_observation`, but of the record alone: loading columns checks what is loaded."""
        return _record(self.observation(key, split, measure).with_suffix(".json"))

    def save_observation(
        self,
        key: str,
        split: str,
        columns: Mapping[str, Sequence[str] | NDArray[Any]],
        record: Mapping[str, Any],
        measure: str | None = None,
    ) -> None:
        """Write columns [N] of one member."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(columns)), buffer, compression="zstd")
        path = self.observation(key, split, measure)
        record = {**record, "columns": list(columns)}
        _publish(path.with_suffix(".json"), {path.name: buffer.getvalue().to_pybytes()}, record)

    def load_observation(
        self, key: str, split: str, measure: str | None = None, columns: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return columns [N] by name. Raises DamagedError where the file is missing, cut short or altered."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.observation(key, split, measure)
        record = self.find_observation(key, split, measure)
        if record is None:
            raise DamagedError(f"{path}: is missing")
        file = pa.BufferReader(_content(path, record["files"][path.name]))
        # What is read was checked a line above; threads would take longer to start than a column takes to read.
        table = pq.ParquetFile(file).read(columns=list(columns) if columns else None, use_threads=False)
        return {name: _as_numpy(table[name].combine_chunks()) for name in table.column_names}

    # ------------------------------------------------------------------------------------------------------ studies

    def study_folder(self, identity: str) -> Path:
        """Return the folder of a study."""
        return self.root / "studies" / identity

    def save_study(self, identity: str, recipe: Any, plan: Mapping[str, Any]) -> None:
        """Write a study's plan and its recipe; it becomes the one run last."""
        files = {"recipe.json": json.dumps(recipe, indent=1, ensure_ascii=False).encode()}
        _publish(self.study_folder(identity) / "study.json", files, plan)

    def find_plan(self, identity: str) -> dict[str, Any] | None:
        """Return the plan of a study, None where there is none. Raises DamagedError."""
        return _record(self.study_folder(identity) / "study.json")

    def load_recipe(self, identity: str) -> dict[str, Any]:
        """Return the validated recipe of a study, as data. Raises DamagedError where it is missing or altered."""
        folder = self.study_folder(identity)
        plan = self.find_plan(identity)
        if plan is None:
            raise DamagedError(f"{folder / 'study.json'}: is missing")
        recipe: dict[str, Any] = json.loads(_content(folder / "recipe.json", plan["files"]["recipe.json"]))
        return recipe

    def studies(self) -> dict[str, float]:
        """Return when each study was run last, in seconds since 1970, by identity; the last one at the end."""
        plans = stats(self.root.glob("studies/*/study.json"))
        times = {path.parent.name: found.st_mtime for path, found in plans.items()}
        return dict(sorted(times.items(), key=lambda each: each[1]))

    def find_study(self, name: str | None) -> dict[str, Any]:
        """Return the plan of a study by name or identity, of the one run last without. Raises InputError."""
        studies = list(self.studies())
        if not studies:
            raise InputError(
                f"{self.root}: nothing was run there yet: `prunekit run RECIPE` first, or name another --out"
            )
        names = {identity.rpartition("-")[0]: identity for identity in studies}  # the newest of a name comes last
        identity = studies[-1] if name is None else names.get(name, name)
        plan = _checked(self.study_folder(identity) / "study.json") if identity in studies else None
        if plan is None:
            name = name or identity  # deleted this very moment
            raise InputError(f"{self.root}: no study is called {name!r}{did_you_mean(name, names)}")
        return plan


# ------------------------------------------------------------------------------------------------------------- files


def _publish(path: Path, files: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
    """Write ``files`` beside ``path``, then ``path``: the record with their checksums and its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sums = {}
    for name, content in files.items():
        write_whole(path.parent / name, content)
        sums[name] = hashlib.sha256(content).hexdigest()
    body = {**record, "files": sums}
    write_whole(path, json.dumps({**body, "sha256": digest(body)}, indent=1, ensure_ascii=False).encode())


def _as_numpy(array: Any) -> NDArray[Any]:
    """Return a pyarrow array as numpy's. Its own ``to_numpy`` imports pandas where there is one: half a second."""
    import pyarrow as pa

    if pa.types.is_boolean(array.type):  # a bit each, which numpy does not know
        return np.from_dlpack(array.cast(pa.uint8())).astype(np.bool_)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return np.from_dlpack(array)
    return np.asarray(array.to_pylist(), dtype=object)


def _checked(path: Path) -> dict[str, Any] | None:
    """Return the record at ``path`` after comparing every checksum; None where nothing is there."""
    record = _record(path)
    for name, expected in record["files"].items() if record is not None else ():
        file = path.parent / name
        if not file.exists():
            raise DamagedError(f"{file}: is missing")
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                raise DamagedError(f"{file}: is cut short or altered")
    return record


def _record(path: Path) -> dict[str, Any] | None:
    """Return the record at ``path`` after comparing its own checksum; None where nothing is there."""
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise DamagedError(f"{path}: is cut short or altered") from None
    stated = body.pop("sha256", None) if isinstance(body, dict) else None
    if stated is None or stated != digest(body):
        raise DamagedError(f"{path}: is cut short or altered")
    return dict(body)


def _content(path: Path, expected: str) -> bytes:
    """Return what a file holds after comparing its checksum."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DamagedError(f"{path}: is missing") from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise DamagedError(f"{path}: is cut short or altered")
    return content


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _packed(stage: StoredStage) -> dict[str, Tensor]:
    """Return weights and masks as one flat mapping; masks take a bit per weight."""
    from prunekit import masks

    tensors = {f"weights/{name}": tensor for name, tensor in stage.weights.items()}
    return _separate(tensors | {f"mask/{name}": masks.pack(mask) for name, mask in stage.masks.items()})


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies: safetensors takes no views and no tensors that share memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _unpacked(tensors: dict[str, Tensor], record: Mapping[str, Any]) -> StoredStage:
    from prunekit import masks

    weights = {name.removeprefix("weights/"): t for name, t in tensors.items() if name.startswith("weights/")}
    packed = {name.removeprefix("mask/"): t for name, t in tensors.items() if name.startswith("mask/")}
    kept = {name: masks.unpack(bits, weights[name].shape) for name, bits in packed.items()}
    return StoredStage(weights, kept, record)
