"""Train the two fairseq demo models with fairseq's own tools, and keep of the result what inference needs.

`num2digits` is a `transformer` from number words to digits, `numlm` a `transformer_lm` on sentences such as
"two hundred and five is 2 0 5". A finished folder works as DATA for `fairseq-interactive DATA --path
DATA/model.pt`: it holds the dictionaries, and the held-out pairs under the names by which fairseq tells the
languages.
"""

import os
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from repl.demo import number_words

CHECKPOINT = "model.pt"
UPDATES = 2000
_ROOT = Path(__file__).parents[2]

_COMMON = """
    --cpu --seed 1 --dropout 0.05 --share-decoder-input-output-embed --decoder-embed-dim 64
    --decoder-ffn-embed-dim 256 --decoder-layers 2 --decoder-attention-heads 4 --max-tokens 2048
    --criterion cross_entropy --optimizer adam --adam-betas (0.9,0.98) --clip-norm 1.0
    --lr 4e-3 --lr-scheduler polynomial_decay --warmup-updates 200
    --validate-interval 4 --log-format simple --log-interval 200
    --save-dir saved --no-save-optimizer-state --no-epoch-checkpoints
"""
_NUM2DIGITS = """
    --task translation --source-lang words --target-lang digits --arch transformer
    --encoder-embed-dim 64 --encoder-ffn-embed-dim 256 --encoder-layers 2 --encoder-attention-heads 4
    --max-source-positions 64 --max-target-positions 64
"""
_NUMLM = """
    --task language_modeling --arch transformer_lm --sample-break-mode eos --tokens-per-sample 64
    --decoder-input-dim 64 --decoder-output-dim 64
"""
_PREPROCESS = "--trainpref train --validpref valid --destdir data"


def train_num2digits(folder: Path, updates: int = UPDATES) -> None:
    """Train the translation model and leave it in `folder`, ready to be used as fairseq's DATA."""
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        number_words.write_pairs(work)
        _tool(work, "preprocess", f"{_PREPROCESS} --source-lang words --target-lang digits")
        _train(work, _NUM2DIGITS, updates)
        _keep(work, folder, ["dict.words.txt", "dict.digits.txt"])
        for side in ("words", "digits"):
            shutil.copyfile(work / f"test.{side}", folder / f"test.words-digits.{side}")


def train_numlm(folder: Path, updates: int = UPDATES) -> None:
    """Train the language model and leave it in `folder`, ready to be used as fairseq's DATA."""
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        number_words.write_sentences(work)
        _tool(work, "preprocess", f"{_PREPROCESS} --only-source")
        _train(work, _NUMLM, updates)
        _keep(work, folder, ["dict.txt"])
        shutil.copyfile(work / "test", folder / "test.txt")


def strip(state: dict[str, Any]) -> dict[str, Any]:
    """A training checkpoint without what only training needs: configuration, weights, number of updates.

    Paths of the run are replaced by ".", so that a file does not remember where it was made.
    """
    config = {**state["cfg"], "task": {**state["cfg"]["task"], "data": "."}}
    config["checkpoint"] = {**config["checkpoint"], "save_dir": "."}
    if isinstance(config["model"], Namespace):
        config["model"] = Namespace(**{**vars(config["model"]), "data": ".", "save_dir": "."})
    return {
        "args": None,
        "cfg": config,
        "model": state["model"],
        "optimizer_history": state["optimizer_history"][-1:],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }


def _train(work: Path, options: str, updates: int) -> None:
    """Run fairseq-train in `work`, over `updates` updates with a learning rate that falls to zero."""
    _tool(work, "train", f"data {_COMMON} {options} --max-update {updates} --total-num-update {updates}")


def _keep(work: Path, folder: Path, dictionaries: Sequence[str]) -> None:
    """Write the stripped last checkpoint and the dictionaries of the run in `work` to `folder`."""
    import torch

    from backends.fairseq import compat

    compat.load()
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu
    from omegaconf import OmegaConf

    folder.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint_to_cpu(str(work / "saved" / "checkpoint_last.pt"))
    state["cfg"] = OmegaConf.to_container(state["cfg"], resolve=True, enum_to_str=True)
    torch.save(strip(state), folder / CHECKPOINT)
    for name in dictionaries:
        shutil.copyfile(work / "data" / name, folder / name)


def _tool(work: Path, name: str, arguments: str) -> None:
    """Run fairseq's command line tool `name` in the folder `work`, on one thread."""
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    tool = [sys.executable, "-m", "backends.fairseq.compat", f"fairseq_cli.{name}:cli_main"]
    subprocess.run([*tool, *shlex.split(arguments)], cwd=work, env=environment, check=True)
