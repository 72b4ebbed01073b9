"""Build the demo models again: `python -m repl.demo.train [lm|num2digits|numlm|numcloze|numkind|all]`.

Seeds are fixed and one thread computes, so that the same versions of Python and torch on the same kind of
processor give the same weights; elsewhere they differ a little and are as good. `README.md` says how
long each takes on one core.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

RUNS = ("lm", "num2digits", "numlm", "numcloze", "numkind")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train what it names."""
    parser = argparse.ArgumentParser(prog="python -m repl.demo.train", description="Train the demo models.")
    parser.add_argument("which", nargs="?", choices=[*RUNS, "all"], default="all")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "models",
        help="folder of the models (%(default)s)",
    )
    parser.add_argument("--steps", type=int, help="train for so many updates only, to try the command")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: one thread sums in one order
    for name in RUNS:
        if options.which in (name, "all"):
            _train(name, options.output, options.steps)


def _train(name: str, output: Path, steps: int | None) -> None:
    if name == "lm":
        from repl.demo.train_lm import Plan, train_lm

        plan = Plan() if steps is None else Plan(steps=steps, early=min(steps, Plan().early))
        train_lm(output / "lm-early", output / "lm-late", plan)
    elif name in ("numcloze", "numkind"):
        from repl.demo import train_encoders

        teach = train_encoders.train_numcloze if name == "numcloze" else train_encoders.train_numkind
        teach(output / name, steps)
    else:
        from repl.demo import train_fairseq

        train = train_fairseq.train_num2digits if name == "num2digits" else train_fairseq.train_numlm
        train(output / name, steps or train_fairseq.UPDATES)


if __name__ == "__main__":
    main()
