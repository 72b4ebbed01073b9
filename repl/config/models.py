"""What a configuration holds once it has been read and checked."""

from pathlib import Path
from typing import Literal

import msgspec

from repl.messages import ModelSpec
from repl.params import Value

DTYPES = ("auto", "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16")

Replicas = Literal["auto"] | int | tuple[str, ...]
"""``auto``: one on each visible GPU, or one on the CPU. A number: so many, over the devices in turn.
Devices (``cuda:0``, ``cpu``): one on each; a device may be named twice."""


class ConfigError(Exception):
    """The configuration cannot be used. The message says where and what is allowed."""


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One named model."""

    name: str
    backend: str
    """The name of a registered backend."""
    path: str
    """Absolute, or a name on a hub; for a fairseq ensemble, absolute paths joined by ':'."""
    data: str | None = None
    """Absolute path of the folder with the dictionaries, where a backend needs one."""
    replicas: Replicas = "auto"
    gpus_per_replica: int = 1
    """Devices one replica is spread over; on the CPU, processes that share its cores."""
    dtype: str = "auto"
    slots: int | None = None
    """Requests served at once by one replica; None leaves that to the backend."""
    defaults: dict[str, Value] = {}
    """Parameters by ``repl.params``, checked."""
    template: bool = True
    """Apply the chat template where the model has one."""
    prompt_template: str | None = None
    """Text with ``{prompt}`` in it, put round every prompt."""
    trust: tuple[str, ...] = ()
    """``sha256:...`` of files that may run code when loaded, or ``remote-code``."""
    options: dict[str, object] = {}
    """Backend-specific settings."""
    origin: str = ""
    """Where it is defined, for messages: ``demo.yaml:4`` or ``--model``."""

    def spec(self) -> ModelSpec:
        """What a replica needs to load it."""
        return ModelSpec(
            name=self.name,
            backend=self.backend,
            path=self.path,
            data=self.data,
            dtype=self.dtype,
            slots=self.slots,
            prompt_template=self.prompt_template,
            trust=self.trust,
            options=self.options,
            gpus=self.gpus_per_replica,
        )


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a session starts from."""

    name: str
    """Short, for the header: the file's stem, or ``command line``."""
    models: dict[str, ModelConfig]
    """By name, in the order written; never empty."""
    compare: tuple[str, ...]
    """The models that are chosen at the start, each in a pane; never empty."""
    queue_limit: int = 1024
    """Requests that may wait before new ones are refused."""
    order: Literal["arrival", "shortest"] = "arrival"
    """Within a user's requests: by arrival, or the shortest expected answer first, with ageing."""
    on_loss: Literal["lose", "continue"] = "lose"
    """An answer whose replica dies ends as lost, or goes on elsewhere where the backend can."""
    theme: str | None = None
    chains: dict[str, str] = {}
    """By name, as ``/chain`` reads them; which models they name is seen when one is used."""
    source: Path | None = None
    """The file it was read from."""
