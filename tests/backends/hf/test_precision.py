"""Half precision: the exact lane gives the same bits whatever runs beside it, near those of float32."""

import pytest

pytest.importorskip("torch")

from tests.backends.hf.support import ask, request, run

PROMPTS = ["the cat", "a model reads a prompt and writes", "早上好", "that was that"]
TOLERANCE = 0.15
"""In nats, of a log-probability of these models in bfloat16, whose 8 bits leave 0.4 % of each product."""


@pytest.fixture(scope="module", params=["llama", "gpt2", "t5"])
def half(request, checkpoint, load):
    return request.param, load(checkpoint(request.param), dtype="bfloat16")


def figures(heard):
    return [
        (step.token, step.raw_lp, step.proc_lp, step.rank, step.entropy, step.top) for step in heard.steps
    ]


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "top_p": 0.9, "seed": 3}])
def test_the_exact_lane_is_equal_bit_for_bit_alone_and_amid_others(half, settings):
    _, engine = half
    wanted = request(1, PROMPTS[1], lane="exact", logprobs=5, **settings)
    (alone,) = run(engine, wanted)
    others = [request(i, PROMPTS[i % 4], max_new=20, seed=i, temperature=0.7) for i in (2, 3, 4)]
    for order, gap in (([*others, wanted], 0), ([*others, wanted], 2), ([wanted, *others], 1)):
        heard = next(one for one in run(engine, *order, gap=gap) if one.started.id == 1)
        assert figures(heard) == figures(alone)


def test_figures_in_half_precision_are_near_those_of_float32(half, engine):
    kind, small = half
    forced = tuple(ask(engine(kind), PROMPTS[1]).tokens)
    exact, near = (ask(one, PROMPTS[1], prefix_ids=forced, lane="exact") for one in (engine(kind), small))
    lps = [[step.raw_lp for step in one.steps] for one in (exact, near)]
    assert lps[0] != lps[1] and lps[1] == pytest.approx(lps[0], abs=TOLERANCE)
