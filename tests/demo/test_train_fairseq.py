"""What is kept of a fairseq training checkpoint: enough to run it, nothing of where it was made."""

from argparse import Namespace

import pytest

from repl.demo import train_fairseq


@pytest.mark.parametrize("model", [Namespace(data="here", save_dir="there", arch="x"), {"arch": "x"}])
def test_strip_drops_the_optimizer_and_the_paths(model: object) -> None:
    state = {
        "cfg": {"task": {"data": "here"}, "checkpoint": {"save_dir": "there"}, "model": model},
        "model": {"weight": 1},
        "optimizer_history": ["older", "newest"],
        "last_optimizer_state": "large",
        "extra_state": {"metrics": "many"},
    }
    kept = train_fairseq.strip(state)
    assert kept["model"] == {"weight": 1}
    assert kept["optimizer_history"] == ["newest"]
    assert "last_optimizer_state" not in kept
    assert "here" not in str(kept) and "there" not in str(kept)
    assert state["cfg"]["task"] == {"data": "here"}
