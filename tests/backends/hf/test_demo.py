"""The demo language models: what is streamed is what transformers returns in one call."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.backends.hf.support import reference, request, run

MODELS = Path(__file__).parents[3] / "repl" / "demo" / "models"
PROMPTS = ["The with statement", "Return a list of", "Raised when"]


@pytest.fixture(scope="module", params=["lm-early", "lm-late"])
def demo(request, load):
    folder = MODELS / request.param
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return load(folder), network, transformers.AutoTokenizer.from_pretrained(folder)


def test_greedy_and_beams_equal_generate(demo):
    engine, network, tokenizer = demo
    assert not any("differ" in note for note in engine.capabilities.notes)
    ids = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    greedy = [request(i, prompt, max_new=24) for i, prompt in enumerate(PROMPTS)]
    beams = [request(i + 10, prompt, max_new=24, beam=4) for i, prompt in enumerate(PROMPTS)]
    heard = run(engine, *greedy, *beams, gap=2)
    for i, one in enumerate(ids):
        assert [_until_end(heard[i], network)] == _rows(network, one)
        best = _rows(network, one, num_beams=4, early_stopping=True)
        assert [_until_end(heard[i + 3], network)] == best


def test_a_seeded_sample_is_the_same_again_and_beside_others(demo):
    engine, _, _ = demo
    settings = {"temperature": 0.7, "top_p": 0.9, "seed": 7, "max_new": 24}
    alone = run(engine, request(1, PROMPTS[0], **settings))[0]
    beside = run(engine, request(2, PROMPTS[1]), request(1, PROMPTS[0], **settings), gap=2)[1]
    assert alone.tokens == beside.tokens and alone.end.text == beside.end.text == alone.text


def test_the_text_goes_on_from_the_prompt(demo):
    engine, _, tokenizer = demo
    heard = run(engine, request(1, PROMPTS[0], max_new=24))[0]
    whole = tokenizer.decode([*heard.started.prompt_ids, *heard.tokens], skip_special_tokens=True)
    assert whole == PROMPTS[0] + heard.end.text


def _rows(network, ids, **settings):
    return [_cut(row, network) for row in reference(network, ids, max_new_tokens=24, **settings)]


def _until_end(heard, network):
    return _cut(heard.tokens, network)


def _cut(tokens, network):
    end = network.generation_config.eos_token_id
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens
