"""The example of docs/backends.md is a working backend."""

import re
from pathlib import Path
from typing import Any

import pytest

from repl.messages import Failed, Finished, ModelSpec, Request, Started, Step
from repl.params import Params
from repl.pool.driver import Driver

GUIDE = Path(__file__).parents[1] / "docs" / "backends.md"


@pytest.fixture(scope="module")
def backend() -> Any:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code[1], str(GUIDE), "exec"), names)
    return names["Backwards"]


def answer(backend: Any, prompt: str, **params: Any) -> list[Any]:
    spec = ModelSpec(name="mirror", backend="backwards", path="any.backwards")
    driver = Driver(backend.load(spec, "cpu", 1, lambda stage, fraction: None))
    events = driver.admit(Request(id=1, model="mirror", prompt=prompt, params=Params(**params)))
    while driver.busy:
        events += driver.step()
    return events


def test_it_answers_in_steps(backend: Any) -> None:
    first, *steps, last = answer(backend, "né!")
    assert isinstance(first, Started) and isinstance(last, Finished)
    assert [s.text for s in steps if isinstance(s, Step)] == ["!", "é", "n"]
    assert (last.text, last.reason) == ("!én", "eos")


def test_it_honours_what_it_says_it_does(backend: Any) -> None:
    assert answer(backend, "abc", max_new=2)[-1] == Finished(id=1, reason="length", text="cb")
    failed = answer(backend, "x" * 1001)[-1]
    assert isinstance(failed, Failed) and failed.error.kind == "prompt_too_long"
