"""Two real checkpoints along one text and as one, against transformers and torch alone."""

import asyncio
import math

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from repl.config import load_config
from repl.demo import model_path
from repl.opening import open_session
from repl.options import Options
from repl.probe.figure import Figure
from tests.session.support import Screen

PROMPT = "The with statement"
LINES = {
    "greedy": PROMPT,
    "diff": "/diff",
    "diverge": "/diverge late early",
    "itself": "/diverge late late",
    "noise": "/noise late",
    "accept": "/accept early>late",
    "parity": f"/parity late twin {PROMPT} is used.",
    "not parity": f"/parity late early {PROMPT} is used.",
    "mean": f"/ensemble late+early {PROMPT}",
    "geo": f"/ensemble late+early mode=geo {PROMPT}",
    "contrast": f"/ensemble late-early {PROMPT}",
    "seed": "/set seed 3",
    "drawing": "/set temperature 0.8",
    "drawn": f"@late {PROMPT}",
    "with itself": f"/ensemble late+twin {PROMPT}",
}
CONFIG = """
models:
  late: {path: 'demo:lm-late', defaults: {max_new: 16}}
  early: {path: 'demo:lm-early', defaults: {max_new: 16}}
  twin: {path: 'demo:lm-late', defaults: {max_new: 16}}
compare: [late, early]
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The last figure of each line, and the exchanges there were after it."""
    file = tmp_path_factory.mktemp("models") / "models.yaml"
    file.write_text(CONFIG)

    async def sit():
        screen, figures, exchanges = Screen(), {}, {}
        async with open_session(load_config(file), Options(no_record=True)) as session:
            for name, line in LINES.items():
                screen.shown.clear()
                await session.run(line, screen)
                for exchange in session.exchanges:
                    if exchange.ticket is not None:
                        await exchange.ticket.wait()
                assert not screen.errors(), (name, screen.errors())
                figures[name] = next((x for x in screen.shown if isinstance(x, Figure)), None)
                exchanges[name] = list(session.exchanges)
        return figures, exchanges

    return asyncio.run(asyncio.wait_for(sit(), 240))


@pytest.fixture(scope="module")
def networks():
    return [
        transformers.AutoModelForCausalLM.from_pretrained(str(model_path(name)), dtype=torch.float32).eval()
        for name in ("lm-late", "lm-early")
    ]


@pytest.fixture(scope="module")
def prompt_ids(shown):
    return list(shown[1]["greedy"][0].answer.started.prompt_ids)


def ids(exchange):
    return [step.token for step in exchange.answer.steps]


def along(network, prompt_ids, answer):
    """Log-probabilities before each token of the answer, float64 ``[tokens, vocab]``."""
    with torch.inference_mode():
        logits = network(torch.tensor([prompt_ids + answer])).logits[0]
    return logits[len(prompt_ids) - 1 : -1].double().log_softmax(-1)


def decoded(networks, prompt_ids, mix, length):
    """What the mixture writes greedily."""
    written = []
    while len(written) < length:
        with torch.inference_mode():
            rows = [n(torch.tensor([prompt_ids + written])).logits[0, -1].double() for n in networks]
        written.append(int(mix(*(row.log_softmax(-1) for row in rows)).argmax()))
    return written


def test_the_divergence_is_torchs(shown, networks, prompt_ids):
    found = shown[0]["diverge"]
    a, b = (along(network, prompt_ids, ids(shown[1]["greedy"][0])) for network in networks)
    kl = torch.nn.functional.kl_div(b, a, reduction="none", log_target=True).sum(-1)
    mean = torch.logaddexp(a, b) - math.log(2)
    js = (
        sum(torch.nn.functional.kl_div(mean, x, reduction="none", log_target=True).sum(-1) for x in (a, b))
        / 2
    )
    tv = (a.exp() - b.exp()).abs().sum(-1) / 2
    measured = [position.apart for position in found.positions]
    assert [x.kl for x in measured] == pytest.approx(kl.tolist(), rel=1e-3, abs=1e-5)
    assert [x.js for x in measured] == pytest.approx(js.tolist(), rel=1e-3, abs=1e-5)
    assert [x.tv for x in measured] == pytest.approx(tv.tolist(), rel=1e-3, abs=1e-5)
    assert [x.same_argmax for x in measured] == (a.argmax(-1) == b.argmax(-1)).tolist()
    assert shown[0]["accept"].mean == pytest.approx(float(1 - tv.mean()), abs=1e-5)


def test_a_model_is_nowhere_apart_from_itself(shown):
    found = shown[0]["itself"]
    assert {(p.apart.kl, p.apart.js, p.apart.tv) for p in found.positions} == {(0.0, 0.0, 0.0)}


def test_the_exact_lane_is_bit_for_bit_the_same(shown):
    (again, *others) = shown[0]["noise"].ways
    assert again.bit_equal and again.widest == 0
    assert all(way.widest < 1e-3 for way in others if way.widest is not None)


def test_parity_tells_a_twin_from_another_checkpoint(shown):
    assert shown[0]["parity"].passed and shown[0]["parity"].matched == "ids"
    assert not shown[0]["not parity"].passed


def test_where_the_answers_part_is_where_their_tokens_do(shown):
    late, early = shown[1]["greedy"][:2]
    first = next(at for at, (x, y) in enumerate(zip(ids(late), ids(early), strict=False)) if x != y)
    (pair,) = shown[0]["diff"].against_first
    assert (pair.first_token_a, pair.first_token_b) == (first, first)


def contrasted(a, b):
    return torch.where(a >= a.max() + math.log(0.1), a - b, -math.inf)


@pytest.mark.parametrize(
    ("name", "mix"),
    [
        ("mean", lambda a, b: torch.logaddexp(a, b)),
        ("geo", lambda a, b: (a + b) / 2),
        ("contrast", contrasted),
    ],
)
def test_a_mixture_writes_what_torch_would(shown, networks, prompt_ids, name, mix):
    exchange = shown[1][name][-1]
    written = ids(exchange)
    assert written == decoded(networks, prompt_ids, mix, len(written))
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model_path("lm-late")))
    assert exchange.answer.text == tokenizer.decode(written, skip_special_tokens=True)


def test_a_model_with_its_twin_draws_what_it_draws_alone(shown):
    assert ids(shown[1]["with itself"][-1]) == ids(shown[1]["drawn"][-1])
