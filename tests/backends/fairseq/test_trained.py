"""A checkpoint as ``fairseq-train`` leaves it, optimiser state, meters and all."""

from tests.backends.fairseq.support import Library, Told, assert_same, load, request

# isort: split
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

SIZES = """--encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 32 --decoder-ffn-embed-dim 32
--encoder-layers 1 --decoder-layers 1 --encoder-attention-heads 2 --decoder-attention-heads 2"""
TRAINING = """--cpu --optimizer adam --adam-betas (0.9,0.98) --lr 1e-3 --max-tokens 100 --max-update 2
--criterion label_smoothed_cross_entropy --save-dir saved --no-progress-bar --no-epoch-checkpoints
--eval-bleu --eval-bleu-args {"beam":1,"max_len_b":5} --best-checkpoint-metric bleu"""


def test_it_is_loaded_as_it_is(tmp_path: Path) -> None:
    for side in ("words", "digits"):
        lines = (ROOT / "repl" / "demo" / "models" / "num2digits" / f"test.words-digits.{side}").read_text()
        for name in ("train", "valid"):
            (tmp_path / f"{name}.{side}").write_text("".join(lines.splitlines(keepends=True)[:20]))
    files = "--source-lang words --target-lang digits --trainpref train --validpref valid --destdir data"
    for tool, arguments in (
        ("preprocess", files),
        ("train", f"data --arch transformer {SIZES} {TRAINING}"),
    ):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "backends.fairseq.compat",
                f"fairseq_cli.{tool}:cli_main",
                *arguments.split(),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    engine = load(tmp_path / "saved", data=str(tmp_path / "data"))
    library = Library(tmp_path / "saved" / "checkpoint_best.pt", data=tmp_path / "data")
    told = Told(engine, request("two hundred", beam=3, n=3))
    assert_same(told, library.generate("two hundred", beam=3, max_len_b=12)[0])
