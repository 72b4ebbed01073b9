"""Backend ``server``: a model on an inference server that speaks OpenAI's API, on this or another machine.

vLLM, SGLang, llama.cpp's server, ``transformers serve`` and others. The sampler is the server's; tokens
and figures are what it tells of them. Importing this costs nothing: the HTTP client comes with ``load``.
"""

import importlib
from pathlib import Path
from typing import ClassVar

from backends.base import Engine, Progress, Requirement
from backends.faults import package_needed
from repl.messages import ModelSpec
from repl.params import Support, SupportTable

_INSTALL = "pip install 'multigpu-repl[server]'"
_MOST = "of vLLM, SGLang, llama.cpp and transformers serve"


class Server:
    """See ``backends.base.Backend``."""

    name: ClassVar[str] = "server"
    remote: ClassVar[bool] = True
    summary: ClassVar[str] = "models on inference servers with OpenAI's API: vLLM, SGLang, llama.cpp, others"
    requires: ClassVar[tuple[Requirement, ...]] = (Requirement(module="httpx2", install=_INSTALL),)
    parameters: ClassVar[SupportTable] = {
        "temperature": Support("exact", "temperature"),
        "top_p": Support("exact", "top_p"),
        "max_new": Support("exact", "max_tokens"),
        "stop": Support("exact", "stop", "the stop string itself is cut off"),
        "seed": Support("differs", "seed", "the server draws: another answer than this package's"),
        "n": Support("differs", "n", "refused by llama.cpp and transformers serve"),
        "presence_penalty": Support("differs", "presence_penalty", "not of transformers serve"),
        "frequency_penalty": Support("differs", "frequency_penalty", "not of transformers serve"),
        "logit_bias": Support("differs", "logit_bias", "#ID=NUMBER only; not of transformers serve"),
        "top_k": Support("differs", "top_k", _MOST),
        "min_p": Support("differs", "min_p", _MOST),
        "repetition_penalty": Support("differs", "repetition_penalty", _MOST),
        "typical_p": Support("differs", "typical_p", "of llama.cpp and transformers serve"),
        "min_new": Support("differs", "min_tokens", "of vLLM, SGLang and transformers serve"),
        "stop_tokens": Support("differs", "stop_token_ids", "#ID, of vLLM and SGLang"),
        "ban": Support("differs", "bad_words", "words of vLLM alone; #ID wherever logit_bias is"),
        "logprobs": Support("differs", "logprobs", "as many as the server is willing to tell"),
    }

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """No file is a server: an address is told by its form."""
        return False

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """See ``Backend.load``; nothing is loaded, but the server is asked what it serves."""
        progress("asking the server", None)
        with package_needed(model.name, _INSTALL):
            loader = importlib.import_module("backends.server.load")
        engine: Engine = loader.load(model)
        return engine
