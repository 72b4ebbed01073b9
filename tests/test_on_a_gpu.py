"""The demo models on a GPU, through the whole path: what played drivers and pretended devices cannot show."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from backends import registry
from repl import devices
from repl.config import Config, ModelConfig
from repl.demo import model_path
from repl.messages import Finished, Request, Step
from repl.params import Params
from repl.pool import Coordinator
from tests.pool.conftest import until

DEMOS = [
    ("hf", "lm-late", "The with"),
    ("fairseq", "num2digits", "forty two"),
    ("ctranslate2", "lm-late", "The with"),
]


def on(device: str, backend: str, model: str) -> Config:
    made = ModelConfig(
        name="m", backend=backend, path=str(model_path(model)), replicas=(device,), dtype="float32"
    )
    return Config(name="test", models={"m": made}, compare=("m",))


async def answer(pool: Coordinator, prompt: str, **params: object) -> tuple[list[int], list[float]]:
    """Tokens and their log-probabilities."""
    ticket = pool.submit(Request(model="m", prompt=prompt, params=Params(max_new=24, **params)))
    steps = [event async for event in ticket if isinstance(event, Step)]
    assert isinstance(await ticket.wait(), Finished)
    return [step.token for step in steps], [step.raw_lp or 0.0 for step in steps]


async def told(device: str, backend: str, model: str, prompt: str) -> list[tuple[list[int], list[float]]]:
    """Greedy, explained, drawn and, after its process was killed, greedy again."""
    async with Coordinator(devices.plan(on(device, backend, model))) as pool:
        await pool.ready()
        (status,) = pool.status()
        assert status.state == "ready" and status.device.startswith(device), status.error
        found = [
            await answer(pool, prompt),
            await answer(pool, prompt, logprobs=3),
            await answer(pool, prompt, temperature=1.0, seed=4),
        ]
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        await until(pool, lambda: pool.status()[0].restarts == 1)
        await pool.ready()
        found.append(await answer(pool, prompt))
        assert found[3][0] == found[0][0]
    return found


async def test_the_path_that_the_gpu_is_held_to() -> None:
    if registry.missing("hf"):
        pytest.skip("transformers is not installed")
    await told("cpu", *DEMOS[0])


@pytest.mark.gpu
@pytest.mark.parametrize(("backend", "model", "prompt"), DEMOS)
async def test_a_gpu_answers_as_the_cpu_does(backend: str, model: str, prompt: str) -> None:
    if registry.missing(backend):
        pytest.skip(f"{backend} is not installed")
    here, there = await asyncio.gather(
        told("cpu", backend, model, prompt), told("cuda:0", backend, model, prompt)
    )
    for (tokens, lps), (others, other_lps) in zip(here, there, strict=True):
        assert tokens == others
        assert lps == pytest.approx(other_lps, abs=1e-3)


@pytest.mark.gpu
def test_torch_counts_the_gpus_that_we_count() -> None:
    pytest.importorskip("torch")
    found = devices.gpus()
    if any(gpu.partition for gpu in found):
        pytest.skip("a process sees one partition at most")
    code = "import torch; print(torch.cuda.device_count(), torch.cuda.get_device_name(0))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    count, _, name = said.stdout.strip().partition(" ")
    assert (int(count), name) == (len(found), found[0].name)
    assert set(devices.readings()) <= {gpu.id for gpu in found}
