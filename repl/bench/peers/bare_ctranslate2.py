"""CTranslate2 with nothing round it but tokens that are ready; speaks like ``repl.bench.alone``.

One worker for each core, ``together`` lines in a batch, sorted by length by the library itself.
"""

from pathlib import Path
from typing import Any

import ctranslate2

from backends import cache
from backends.ctranslate2 import folders, options
from backends.fairseq import compat
from repl.bench.alone import Job, measured, on_demand, received
from repl.messages import Request
from repl.paths import cache_dir


def main() -> None:
    """The process."""
    job = received()
    path, feeds = _prepared(job)
    translator = ctranslate2.Translator(
        str(path), compute_type=job.model.dtype, inter_threads=len(job.cores), intra_threads=1
    )
    on_demand(lambda: measured(lambda: _answer(translator, job, feeds)))


Feed = tuple[list[str], list[str]]
"""A source, and what its answer begins with."""


def _prepared(job: Job) -> tuple[Path, list[Feed]]:
    """The conversion that the backend made too, and the prompts as its tokens."""
    compat.load()
    from backends.ctranslate2.fairseq_source import open_checkpoint

    def quiet(stage: str, fraction: float | None) -> None:
        pass

    chosen, rest = options.of(job.model)
    opened = open_checkpoint(rest, chosen, job.model.dtype, quiet)
    assert opened.convert is not None
    path = cache.folder(cache_dir() / "ctranslate2", opened.key, opened.convert, quiet)
    source, target = folders.vocabularies(path)
    requests = [Request(model="", prompt=prompt, params=job.params) for prompt in job.prompts]
    asked = [opened.reader.read(request) for request in requests]
    return path, [([source[i] for i in one.feed], [target[i] for i in one.start]) for one in asked]


def _answer(translator: Any, job: Job, feeds: list[Feed]) -> int:
    results = translator.translate_batch(
        [source for source, _ in feeds],
        target_prefix=[start for _, start in feeds],
        max_batch_size=job.together,
        beam_size=job.params.beam,
        max_decoding_length=job.params.max_new,
        max_input_length=0,
        return_scores=True,
    )
    return sum(len(result.hypotheses[0]) for result in results)


if __name__ == "__main__":
    main()
