"""The keyed sampler: what it draws, what it depends on, and that it never changes."""

import math

import pytest

torch = pytest.importorskip("torch")

from backends import noise

M64 = (1 << 64) - 1
CHI2_999 = {2: 13.816, 3: 16.266, 5: 20.515, 9: 27.877}
"""99.9 % points of the chi-square distribution by degrees of freedom."""
GOLDEN_KEYS = [-6411193824288604561, -1315055668846156530, -931088453780452653]
GOLDEN_GUMBEL = [0.28802622812554735, -1.023429823103133, -0.33508008675660456, 1.650004210742678]
GOLDEN_DRAWS = [23299, 26266, 29087, 10012, 22671, 44970]


def splitmix64(seed, count):
    """The reference generator, as its authors publish it."""
    out = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & M64
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        out.append(z ^ (z >> 31))
    return out


def chi_square(counts, probs):
    total = counts.sum()
    expected = probs * total
    return float(((counts - expected) ** 2 / expected).sum())


def many(probs, count, seed=11, sample=0, ids=None):
    """``count`` draws at positions 0 to count - 1."""
    rows = torch.tensor(probs).log().expand(count, -1)
    return noise.draw_rows(rows, noise.keys([(seed, sample, i) for i in range(count)]), ids)


def test_hash_is_splitmix64():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(1234567, 4) == published
    got = noise.uniform(torch.tensor([1234567]), torch.arange(4))[0]
    assert got.tolist() == [((bits >> 12) + 0.5) / 2**52 for bits in published]


def test_gumbel_is_the_double_logarithm():
    key = noise.key(3, 1, 4)
    expected = [-math.log(-math.log(((b >> 12) + 0.5) / 2**52)) for b in splitmix64(key & M64, 100)]
    assert noise.gumbel(3, 1, 4, 100).tolist() == pytest.approx(expected, rel=1e-13)


def test_golden_values():
    """Pinned: a change here would change every recorded sampled answer."""
    assert [noise.key(0, 0, 0), noise.key(7, 0, 1), noise.key(2**63 - 1, 5, 100)] == GOLDEN_KEYS
    assert noise.gumbel(7, 0, 0, 4).tolist() == pytest.approx(GOLDEN_GUMBEL, abs=1e-12)
    flat = torch.zeros(50257)
    assert [noise.draw(flat, 7, 0, i) for i in range(6)] == GOLDEN_DRAWS


def test_noise_is_finite_at_both_ends_of_the_hash():
    ends = (torch.tensor([0, (1 << 52) - 1]).double() + 0.5) * 2.0**-52
    assert ends[0] > 0 and ends[1] < 1
    assert torch.isfinite(-(-ends.log()).log()).all()


def test_moments_are_those_of_the_standard_gumbel():
    g = noise.gumbel_rows(noise.keys([(1, 0, i) for i in range(200)]), torch.arange(1000))
    assert g.mean().item() == pytest.approx(0.5772156649, abs=0.01)
    assert g.var().item() == pytest.approx(math.pi**2 / 6, rel=0.02)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
@pytest.mark.parametrize("probs", [[0.5, 0.25, 0.2, 0.05], [1 / 6] * 6, [0.9, 0.07, 0.03]])
def test_marginals_follow_the_distribution(seed, probs):
    counts = torch.bincount(many(probs, 20_000, seed), minlength=len(probs))
    assert chi_square(counts, torch.tensor(probs)) < CHI2_999[len(probs) - 1]


def test_marginals_over_samples_and_seeds():
    """The other parts of the key are as good a source of chance as the position."""
    probs = [0.4, 0.3, 0.2, 0.1]
    rows = torch.tensor(probs).log().expand(20_000, -1)
    for parts in ([(5, i, 3) for i in range(20_000)], [(i, 0, 3) for i in range(20_000)]):
        counts = torch.bincount(noise.draw_rows(rows, noise.keys(parts)), minlength=4)
        assert chi_square(counts, torch.tensor(probs)) < CHI2_999[3]


def test_successive_draws_are_independent():
    drawn = many([0.5, 0.5], 20_001)
    pairs = torch.bincount(drawn[:-1] * 2 + drawn[1:], minlength=4)
    assert chi_square(pairs, torch.full((4,), 0.25)) < CHI2_999[3]


def test_draw_is_the_same_alone_and_in_any_batch():
    torch.manual_seed(0)
    rows = torch.randn(16, 997).log_softmax(-1)
    parts = [(9, i % 3, i) for i in range(16)]
    together = noise.draw_rows(rows, noise.keys(parts)).tolist()
    assert together == [noise.draw(row, *part) for row, part in zip(rows, parts, strict=True)]
    order = torch.randperm(16)
    mixed = noise.draw_rows(rows[order], noise.keys([parts[i] for i in order]))
    assert mixed.tolist() == [together[i] for i in order]


def test_candidates_alone_give_the_draw_of_the_masked_row():
    torch.manual_seed(1)
    rows = torch.randn(32, 5000)
    parts = [(4, 0, i) for i in range(32)]
    values, ids = rows.topk(50, dim=-1)
    masked = torch.full_like(rows, -torch.inf).scatter(1, ids, values)
    keys = noise.keys(parts)
    assert noise.draw_rows(values, keys, ids).tolist() == noise.draw_rows(masked, keys).tolist()


def test_masked_tokens_are_never_drawn():
    row = torch.full((1000, 50), -torch.inf)
    row[:, 17] = -80.0
    assert set(noise.draw_rows(row, noise.keys([(0, 0, i) for i in range(1000)])).tolist()) == {17}


def test_each_part_of_the_key_matters():
    base = noise.gumbel(7, 0, 0, 64)
    assert torch.equal(base, noise.gumbel(7, 0, 0, 64))
    others = [(8, 0, 0), (7, 1, 0), (7, 0, 1)]
    assert all(not torch.isclose(base, noise.gumbel(*other, 64)).any() for other in others)


def test_close_models_agree_far_more_often_than_independent_draws():
    """The coupling: agreement lies near one minus the total variation distance, its ceiling."""
    a, b = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.45, 0.3, 0.25])
    agree = (many(a.tolist(), 20_000) == many(b.tolist(), 20_000)).double().mean().item()
    ceiling = 1 - 0.5 * (a - b).abs().sum().item()
    independent = (a * b).sum().item()
    assert independent + 0.4 < agree <= ceiling + 0.005


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_draws_are_equal_on_cpu_and_gpu():
    torch.manual_seed(2)
    rows = torch.randn(64, 50257).log_softmax(-1)
    parts = [(3, i % 4, i) for i in range(64)]
    on_gpu = noise.draw_rows(rows.cuda(), noise.keys(parts, "cuda"))
    assert on_gpu.tolist() == noise.draw_rows(rows, noise.keys(parts)).tolist()
    bits = noise.uniform(noise.keys(parts, "cuda"), torch.arange(1000, device="cuda"))
    assert torch.equal(bits.cpu(), noise.uniform(noise.keys(parts), torch.arange(1000)))
