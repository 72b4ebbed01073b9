"""Checks at load that the package's own loop computes what ``generate`` computes for this model.

Two prompts go through the rows the way requests do: the second joins while the first runs, the first leaves
while the second goes on. At each step the tokens of ``generate`` are fed and the logits compared with its
own, which finds a wrong position, mask or cache and does not mistake rounding in half precision for one.
"""

from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor

from backends.faults import is_out_of_memory
from backends.hf.state.causal import CausalRows
from backends.hf.state.rows import Rows

_PROMPTS = (7, 4)
"""Lengths."""
_STEPS = 6
_JOIN_AFTER = 2
TOLERANCE = {torch.float32: 0.02, torch.float64: 0.02}
"""Allowed difference in standard deviations of the logits."""
HALF_TOLERANCE = 0.3


def passes(network: Any, make: Callable[[], Rows], together: bool) -> bool:
    """Whether rows made by ``make`` agree with ``generate``; ``together`` lets them share a batch."""
    try:
        return deviation(network, make, together) <= _tolerance(network)
    except Exception as error:
        return _unfit(error)


def divides(network: Any, make: Callable[[], CausalRows]) -> bool:
    """Whether a prompt read in parts, or on from a kept beginning, leaves the logits of one read whole."""
    prompt = _prompt(network, _PROMPTS[0])
    try:
        with torch.inference_mode():
            whole = make().prefill([prompt])
            parts, resumed = make(), make()
            parts.read(prompt[:3])
            found = parts.read(prompt[3:])
            resumed.restore(parts.snapshot(0).first(5))
            again = resumed.read(prompt[5:])
        return max(_distance(found, whole), _distance(again, whole)) <= _tolerance(network)
    except Exception as error:
        return _unfit(error)


def pads(network: Any, make: Callable[[], Rows]) -> bool:
    """Whether a prompt beside a longer one leaves the logits that it leaves alone, and so do later tokens."""
    prompts = [_prompt(network, length) for length in _PROMPTS]
    try:
        with torch.inference_mode():
            rows, alone = make(), [make(), make()]
            found = rows.prefill(prompts)
            wanted = [own.prefill([prompt]) for own, prompt in zip(alone, prompts, strict=True)]
            apart = [_distance(found, torch.cat(wanted))]
            for kept in ([0, 1], [1]):
                rows.select(kept)
                tokens = found[kept].argmax(-1)
                found = rows.decode(tokens)
                wanted = [alone[row].decode(tokens[i : i + 1]) for i, row in enumerate(kept)]
                apart.append(_distance(found, torch.cat(wanted)))
        return max(apart) <= _tolerance(network)
    except Exception as error:
        return _unfit(error)


def rewinds(network: Any, make: Callable[[], Rows]) -> bool:
    """Whether tokens read together are as if read alone, and leave no trace once they are cut off."""
    prompt = _prompt(network, _PROMPTS[0])
    try:
        with torch.inference_mode():
            part, whole = make().prefill([prompt[:5]]), make().prefill([prompt])
            rows = make()
            assert isinstance(rows, CausalRows)
            rows.prefill([prompt[:3]])
            several = rows.feed([*prompt[3:5], *prompt[:4]])
            rows.crop(5)
            after = rows.feed(prompt[5:])
        return max(_distance(several[1:2], part), _distance(after[-1:], whole)) <= _tolerance(network)
    except Exception as error:
        return _unfit(error)


def agreement(network: Any, mine: Rows, theirs: Rows, size: int) -> Generator[None, None, bool]:
    """Whether ``size`` rows of different lengths get the same logits from both, step by step.

    Pauses after each forward pass, for who has other things to do; runs in the caller's inference mode.
    """
    prompts = [_prompt(network, 3 + row % 5) for row in range(size)]
    farthest = 0.0
    logits = mine.prefill(prompts)
    yield
    expected = theirs.prefill(prompts)
    for _ in range(_STEPS):
        yield
        farthest = max(farthest, _distance(logits, expected))
        fed = expected.argmax(-1)
        logits = mine.decode(fed)
        yield
        expected = theirs.decode(fed)
    return max(farthest, _distance(logits, expected)) <= _tolerance(network)


def deviation(network: Any, make: Callable[[], Rows], together: bool) -> float:
    """The largest difference from the logits of ``generate``, in their standard deviations."""
    prompts = [_prompt(network, length) for length in _PROMPTS]
    expected = [_generate(network, prompt) for prompt in prompts]
    with torch.inference_mode():
        run = _staggered if together else _apart
        found = run(make, prompts, [tokens for tokens, _ in expected])
    return max(_distance(a, b) for a, (_, b) in zip(found, expected, strict=True))


def _unfit(error: Exception) -> bool:
    """False: any failure at all means that this way is not for this model. Want of memory means nothing."""
    if is_out_of_memory(error):
        raise error
    return False


def _tolerance(network: Any) -> float:
    return TOLERANCE.get(network.dtype, HALF_TOLERANCE)


def _prompt(network: Any, length: int) -> list[int]:
    size = int(network.get_input_embeddings().weight.shape[0])
    return [(31 * i + 7 * length) % size for i in range(length)]


def _generate(network: Any, prompt: list[int]) -> tuple[list[int], Tensor]:
    """``_STEPS`` tokens and their raw logits ``[steps, vocab]``."""
    ids = torch.tensor([prompt], device=network.device)
    out = network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=_STEPS,
        min_new_tokens=_STEPS,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return out.sequences[0, -_STEPS:].tolist(), torch.stack([step[0].float() for step in out.logits])


def _apart(make: Callable[[], Rows], prompts: list[list[int]], tokens: list[list[int]]) -> list[Tensor]:
    found = []
    for prompt, fed in zip(prompts, tokens, strict=True):
        rows = make()
        logits = [rows.prefill([prompt])[0]]
        logits += [rows.decode(_column([token], logits[0]))[0] for token in fed[:-1]]
        found.append(torch.stack(logits))
    return found


def _staggered(make: Callable[[], Rows], prompts: list[list[int]], tokens: list[list[int]]) -> list[Tensor]:
    rows, joining = make(), make()
    assert isinstance(rows, CausalRows) and isinstance(joining, CausalRows)
    first, second = [rows.prefill([prompts[0]])[0]], [joining.prefill([prompts[1]])[0]]
    for i in range(_JOIN_AFTER):
        first.append(rows.decode(_column([tokens[0][i]], first[0]))[0])
    rows.join(joining)
    for i in range(_JOIN_AFTER, _STEPS - 1):
        both = rows.decode(_column([tokens[0][i], tokens[1][i - _JOIN_AFTER]], first[0]))
        first.append(both[0])
        second.append(both[1])
    rows.select([1])
    for i in range(_STEPS - 1 - _JOIN_AFTER, _STEPS - 1):
        second.append(rows.decode(_column([tokens[1][i]], first[0]))[0])
    return [torch.stack(first), torch.stack(second)]


def _column(tokens: list[int], like: Tensor) -> Tensor:
    return torch.tensor(tokens, device=like.device)


def _distance(a: Tensor, b: Tensor) -> float:
    both = torch.isfinite(a) & torch.isfinite(b)
    if not torch.equal(torch.isfinite(a), torch.isfinite(b)) or not both.any():
        return float("inf")
    return float((a - b)[both].abs().max() / b[both].std().clamp(min=1e-6))
