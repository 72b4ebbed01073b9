"""What a server is asked before anything else, and what is made of what it says."""

import json
from collections.abc import Callable

import pytest

from backends import registry
from backends.base import BackendError
from backends.server.engine import ServerEngine
from repl.params import PARAMETERS
from tests.backends.server.conftest import answer
from tests.backends.server.scripted import Scripted, Talk, says, served, turns, vllm, words

Opened = Callable[..., ServerEngine]


def refusal(opened: Opened, **options: object) -> str:
    with pytest.raises(BackendError) as caught:
        opened(**options)
    return f"{caught.value.error.kind}: {caught.value.error.message} ({caught.value.error.hint})"


def test_the_only_model_is_meant(server: Scripted, opened: Opened) -> None:
    capabilities = opened().capabilities
    assert (capabilities.kind, capabilities.slots, capabilities.chat) == ("causal", 16, True)
    assert capabilities.tasks == ("generate",)
    assert any("serves small; its sampler draws" in note for note in capabilities.notes)


def test_one_of_several_has_to_be_named(server: Scripted, opened: Opened) -> None:
    server.scripts["/v1/models"] = served("a", "b")
    assert f"missing_file: model 'far': {server.url} serves a, b: which one is meant?" in refusal(opened)
    assert "has no model 'c': it serves a, b" in refusal(opened, model="c")
    assert "serves b; its" in opened(model="b").capabilities.notes[0]
    assert "serves c; its" in opened(model="c", server="other").capabilities.notes[0]


def test_a_gateway_may_keep_its_models_to_itself(server: Scripted, opened: Opened) -> None:
    del server.scripts["/v1/models"]
    assert "unsupported" in refusal(opened) and "says 404: nothing at /v1/models" in refusal(opened)
    assert "serves hidden" in opened(model="hidden").capabilities.notes[0]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"modl": "x"}, "unknown field `modl`"),
        ({"slots": 0}, "numbers above 0"),
        ({"server": "tgi"}, "Invalid enum value 'tgi'"),
        ({"api_key": "sk-not-a-name"}, "api_key is the name of an environment variable"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], what: str, opened: Opened) -> None:
    said = refusal(opened, **options)
    assert said.startswith("bad_parameter: options of far: ") and what in said
    assert "sk-not" not in said


def test_addresses_with_passwords_are_refused_without_repeating_them(opened: Opened) -> None:
    with pytest.raises(BackendError) as caught:
        opened("http://me:hunter2@localhost:1/v1")
    assert "may not hold a user or password" in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_host_alone_has_its_api_at_v1(server: Scripted, opened: Opened) -> None:
    opened(server.url.removesuffix("/v1"))
    assert server.asked[0][0] == "/v1/models"


def test_slots_are_the_configurations_or_the_servers(server: Scripted, opened: Opened) -> None:
    assert opened(slots=3).capabilities.slots == 3


def test_vllm_is_told_by_its_models(server: Scripted, opened: Opened) -> None:
    vllm(server)
    capabilities = opened().capabilities
    assert (capabilities.max_prompt, capabilities.chat) == (64, True)
    assert capabilities.tasks == ("generate", "tokenize", "score")


def test_a_base_model_has_no_template(server: Scripted, opened: Opened) -> None:
    vllm(server, template=False)
    assert not opened().capabilities.chat
    assert opened(chat=True).capabilities.chat


def test_a_vllm_behind_a_gateway_has_no_tokenizer(server: Scripted, opened: Opened) -> None:
    server.scripts["/v1/models"] = served("org/big", owner="vllm", max_model_len=64)
    capabilities = opened().capabilities
    assert capabilities.tasks == ("generate",) and capabilities.chat
    server.scripts["/v1/chat/completions"] = lambda talk: words("x")(talk)
    answer(opened(), top_k=5)
    assert server.bodies("/v1/chat/completions")[0]["top_k"] == 5


def test_llamacpp_tells_its_size_and_its_slots(server: Scripted, opened: Opened) -> None:
    size = {"n_vocab": 512, "n_params": 260_000, "n_embd": 64}
    server.scripts["/v1/models"] = served("tiny.gguf", owner="llamacpp", meta=size)
    server.scripts["/props"] = says({"default_generation_settings": {"n_ctx": 128}, "total_slots": 2})
    capabilities = opened().capabilities
    assert (capabilities.slots, capabilities.max_prompt) == (2, 128)
    assert (capabilities.vocab_size, capabilities.parameters) == (512, 260_000)


def test_transformers_serve_is_told_by_its_paths(server: Scripted, opened: Opened) -> None:
    server.scripts["/openapi.json"] = says({"paths": {"/load_model": {}, "/v1/responses": {}}})
    server.scripts["/v1/chat/completions"] = turns("x")
    answer(opened(), temperature=0.5, min_p=0.1, min_new=2)
    settings = {"do_sample": True, "top_k": 0, "repetition_penalty": 1.0, "typical_p": 1.0}
    settings |= {"min_p": 0.1, "min_new_tokens": 2}
    assert json.loads(server.bodies("/v1/chat/completions")[0]["generation_config"]) == settings
    started = answer(opened(), logprobs=3)[0]
    assert started.notes == ("logprobs has no effect: transformers serve tells none",)  # type: ignore[union-attr]
    (failed,) = answer(opened(), presence_penalty=1.0)
    assert failed.error.message == "transformers serve cannot honour presence_penalty"  # type: ignore[union-attr]


def test_the_key_is_sent_and_never_said(
    server: Scripted, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "MY_KEY is not set" in refusal(opened, api_key="MY_KEY")
    monkeypatch.setenv("MY_KEY", "sk-secret")

    def check(talk: Talk) -> None:
        given = talk.headers["Authorization"]
        talk.json({"error": {"message": f"no such key: {given}"}}, 401)

    server.scripts["/v1/models"] = check
    said = refusal(opened, api_key="MY_KEY")
    assert "unauthorised" in said and "says 401: no such key: Bearer ***" in said
    assert "the environment variable MY_KEY is not accepted" in said and "secret" not in said
    assert "it wants a key" in refusal(opened)


def test_every_setting_it_speaks_of_is_one() -> None:
    assert registry.find("server").parameters.keys() <= PARAMETERS.keys()
