"""A checkpoint is data: what is in it is never run unless the user trusts the file."""

from tests.backends.fairseq.support import SMALL, load, spec, write_model

# isort: split
import argparse
import collections
import copy
import os
import pickle
import typing
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from backends.base import BackendError
from backends.fairseq import Fairseq, safe_load


class Touches:
    """Creates a file when it is unpickled without care."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._mark}",)


def refused(path: Path, **more: Any) -> BackendError:
    with pytest.raises(BackendError) as caught:
        Fairseq.load(spec(path, **more), "cpu", 1, lambda stage, fraction: None)
    return caught.value


def rewritten(path: Path, **changes: Any) -> Path:
    state = torch.load(path, weights_only=False)
    torch.save({**state, **changes}, path)
    return path


@pytest.mark.parametrize("place", ["extra_state", "model", "args"])
def test_a_pickle_that_calls_something_is_refused_by_name(tmp_path: Path, place: str) -> None:
    mark = tmp_path / "mark"
    path = rewritten(write_model(tmp_path / "m"), **{place: Touches(mark)})
    error = refused(path).error
    assert error.kind == "untrusted"
    assert "'posix.system'" in error.message and str(path) in error.message
    assert f'trust: ["{safe_load.sha256(path)}"]' in error.hint
    assert not mark.exists()


def test_the_old_file_format_is_read_with_the_same_care(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = write_model(tmp_path / "m")
    state = torch.load(path, weights_only=False)
    torch.save({**state, "more": Touches(mark)}, path, _use_new_zipfile_serialization=False)
    assert refused(path).error.kind == "untrusted"
    path.write_bytes(pickle.dumps(Touches(mark)))
    assert refused(path).error.kind in ("untrusted", "not_a_checkpoint")
    assert not mark.exists()


CODE = "__import__('os').system('touch {mark}') or [(16, 3)]"


@pytest.mark.parametrize("style", ["args", "cfg"])
def test_code_in_the_arguments_is_not_evaluated(tmp_path: Path, style: str) -> None:
    mark = tmp_path / "mark"
    path = write_model(tmp_path / "m", "fconv", style=style)
    state = torch.load(path, weights_only=False)
    arguments = state["args"] if style == "args" else state["cfg"]["model"]
    arguments.encoder_layers = CODE.format(mark=mark)
    torch.save(state, path)
    error = refused(path).error
    assert error.kind == "untrusted"
    assert "in its arguments stands code" in error.message
    assert not mark.exists()


def test_trusting_a_file_is_for_that_file_alone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = rewritten(write_model(tmp_path / "m"), extra_state=Touches(mark))
    other = rewritten(write_model(tmp_path / "n"), extra_state=[Touches(mark)])
    trust = (safe_load.sha256(path),)
    assert refused(other, trust=trust).error.kind == "untrusted"
    assert not mark.exists()
    with pytest.raises(BackendError):  # the file runs, and then is no checkpoint after all
        load(path, trust=trust)
    assert mark.exists()


def test_a_trusted_file_may_have_code_in_its_arguments(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", "fconv")
    state = torch.load(path, weights_only=False)
    state["cfg"]["model"].encoder_layers = "list((16, 3) for _ in range(2))"
    torch.save(state, path)
    assert refused(path).error.kind == "untrusted"
    load(path, trust=(safe_load.sha256(path),))


def test_what_unstripped_checkpoints_hold_is_read(tmp_path: Path) -> None:
    """Meters, numpy figures, counters and a pickled configuration, as training leaves them."""
    from fairseq.meters import AverageMeter

    path = write_model(tmp_path / "m")
    state = torch.load(path, weights_only=False)
    meter = AverageMeter()
    meter.update(np.float64(3.0))
    counts = collections.defaultdict(dict, {"a": {"b": 1}})
    extra = {**state["extra_state"], "meters": [meter], "bleu": np.array([1, 2]), "state": counts}
    config = OmegaConf.create(state["cfg"], flags={"allow_objects": True})
    torch.save({**state, "extra_state": extra, "cfg": config}, path)
    load(path)


def test_the_second_copy_of_the_weights_is_dropped(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    saved = torch.load(path, weights_only=False)["model"]
    assert "encoder.layers.0.in_proj_weight" in saved
    kept = safe_load.read(str(path))["model"]
    assert {key for key in saved if key not in kept} == {
        f"encoder.layers.0.{part}_{kind}"
        for part in ("in_proj", "out_proj", "fc1", "fc2")
        for kind in ("weight", "bias")
    }
    network = load(path)._model.networks[0]
    assert network.encoder.layers[0].in_proj_weight is None
    assert network.encoder.layers[0].fc1.weight is not None


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("[(512, 3)] * 20", [(512, 3)] * 20),
        ("2 * [(512, 3)] + [(3, 1)]", [(512, 3), (512, 3), (3, 1)]),
        ("(0.9, 0.98)", (0.9, 0.98)),
        ("-1e-8", -1e-8),
        ("3 - 1", 2),
        ("{'a': [1, True, None]}", {"a": [1, True, None]}),
        (" 'text' ", "text"),
        (7, 7),
    ],
)
def test_literals_have_their_value(source: Any, value: Any) -> None:
    assert safe_load.literal(source) == value


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os')",
        "open('/etc/passwd').read()",
        "x",
        "[i for i in (1, 2)]",
        "(lambda: 1)()",
        "'a'.join",
        "[0] * 10**9",
        "[[0] * 4096] * 4096 * 4096",
        "'a' * 3",
        "2 ** 9999999",
        "{**{}}",
        "f'{1}'",
        "1 +",
        "(" * 500 + ")" * 500,
        "\0",
    ],
)
def test_all_else_is_refused(source: str) -> None:
    with pytest.raises(safe_load.NotALiteral):
        safe_load.literal(source)


def test_what_may_be_unpickled_holds_data_and_calls_nothing() -> None:
    """A reminder to whoever adds to the list: no function that reaches beyond the file."""
    allowed = [entry[0] if isinstance(entry, tuple) else entry for entry in safe_load.allowed_globals()]
    functions = [entry for entry in allowed if not isinstance(entry, type) and entry is not typing.Any]
    assert {f.__name__ for f in functions} == {"_reconstruct", "scalar", "_empty_dict"}
    assert argparse.Namespace in allowed
    assert set(SMALL) >= {"transformer", "transformer_lm"}


# -- what would take the machine's memory ------------------------------------------------------------------


def reason(path: Path) -> str:
    with pytest.raises(BackendError) as caught:
        load(path)
    assert (caught.value.error.kind, bool(caught.value.error.hint)) == ("not_a_checkpoint", True)
    return caught.value.error.message


def test_an_archive_that_inflates_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as small:
        for part in whole.infolist():
            small.writestr(part.filename, whole.read(part))
        small.writestr("archive/data/bomb", bytes(1 << 24))
    assert packed.stat().st_size < 1 << 20
    assert "unpack to more than it is" in reason(packed)


def test_parts_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Many entries of the directory that lead to the same data, each a large one."""
    path = tmp_path / "shared.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 16))
        (part,) = archive.infolist()
        for number in range(50):
            again = copy.copy(part)
            again.filename = f"archive/data/{number}"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
    assert "unpack to more than it is" in reason(path)


def test_a_tensor_larger_than_its_data_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    state = torch.load(path, weights_only=False)
    name = next(iter(state["model"]))
    state["model"][name] = torch.zeros(1).expand(1 << 40)
    torch.save(state, path)
    assert path.stat().st_size < 1 << 20
    assert f"weight '{name}' claims to be larger than its data" in reason(path)
    state["model"][name] = "weight"
    torch.save(state, path)
    assert "is not a tensor" in reason(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder_ffn_embed_dim", 1 << 40),
        ("decoder_layers", 100_000),
        ("max_source_positions", 1 << 33),
    ],
)
def test_a_network_larger_than_its_weights_is_not_built(tmp_path: Path, name: str, value: int) -> None:
    path = write_model(tmp_path)
    state = torch.load(path, weights_only=False)
    setattr(state["cfg"]["model"], name, value)
    if name == "max_source_positions":
        state["cfg"]["task"]["max_source_positions"] = value
    torch.save(state, path)
    assert "far larger than the weights it holds" in reason(path)
