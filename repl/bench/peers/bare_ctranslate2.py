"""CTranslate2 with nothing round it but tokens that are ready; speaks like ``repl.bench.alone``.

One worker for each core, ``together`` lines in a batch, sorted by length by the library itself.
"""

import os
import sys
from pathlib import Path
from typing import Any

import ctranslate2
import msgspec

from backends.ctranslate2 import cache, folders, options
from backends.fairseq import compat
from repl.bench.alone import Job, measured
from repl.messages import Request
from repl.paths import cache_dir


def main() -> None:
    """The process."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    os.sched_setaffinity(0, job.cores)
    path, lines = _prepared(job)
    translator = ctranslate2.Translator(
        str(path), compute_type=job.model.dtype, inter_threads=len(job.cores), intra_threads=1
    )
    print("ready", flush=True)
    for _ in sys.stdin.buffer:
        outcome = measured(lambda: _answer(translator, job, lines))
        print(msgspec.json.encode(outcome).decode(), flush=True)


def _prepared(job: Job) -> tuple[Path, list[list[str]]]:
    """The conversion that the backend made too, and the prompts as its tokens."""
    compat.load()
    from backends.ctranslate2.fairseq_source import open_checkpoint

    def quiet(stage: str, fraction: float | None) -> None:
        pass

    chosen, rest = options.of(job.model)
    opened = open_checkpoint(rest, chosen, job.model.dtype, quiet)
    assert opened.convert is not None
    path = cache.folder(cache_dir() / "ctranslate2", opened.key, opened.convert, quiet)
    names, _ = folders.vocabularies(path)
    asked = [Request(model="", prompt=prompt, params=job.params) for prompt in job.prompts]
    return path, [[names[token] for token in opened.reader.read(one).feed] for one in asked]


def _answer(translator: Any, job: Job, lines: list[list[str]]) -> int:
    results = translator.translate_batch(
        lines,
        max_batch_size=job.together,
        beam_size=job.params.beam,
        max_decoding_length=job.params.max_new,
        max_input_length=0,
        return_scores=True,
    )
    return sum(len(result.hypotheses[0]) for result in results)


if __name__ == "__main__":
    main()
