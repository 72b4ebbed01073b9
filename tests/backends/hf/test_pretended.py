"""The pretended GPU refuses what CUDA refuses and counts where CUDA makes the host wait.

What waits and what does not is as torch's ``test_cuda.py`` (``test_sync_warning``) and its sources have it.
"""

import pytest

torch = pytest.importorskip("torch")

from backends import upload
from tests.backends.hf import pretended


@pytest.fixture
def card():
    with pretended.card() as card:
        yield card


@pytest.fixture
def numbers(card):
    made = torch.tensor([1.0, 2.0, 3.0, 4.0], device="cuda:0")
    card.waits.clear()
    return made


def test_it_says_that_it_is_a_gpu_and_computes(card, numbers):
    assert numbers.is_cuda and numbers.device == torch.device("cuda:0") and torch.cuda.is_available()
    doubled = numbers * 2
    assert doubled.is_cuda and not card.waits
    assert doubled.tolist() == [2, 4, 6, 8] and card.waits.total() == 1
    assert not doubled.cpu().is_cuda


def test_views_share_and_what_is_done_in_place_is_seen(numbers):
    part = numbers[1:3]
    part += 10
    numbers[:, None][0, 0] = 7
    assert numbers.tolist() == [7, 12, 13, 4]


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(4),
        lambda x: torch.cat([x, torch.ones(1)]),
        lambda x: torch.cat([x[None, :1], torch.ones(1, 1)]),
        lambda x: x.index_select(0, torch.tensor([1])),
        lambda x: x.gather(0, torch.tensor([1])),
        lambda x: torch.where(x > 2, x, torch.zeros(4)),
        lambda x: torch.nn.functional.linear(x, torch.ones(1, 4)),
    ],
)
def test_two_devices_do_not_mix(mixed, numbers):
    with pytest.raises(RuntimeError, match="same device"):
        mixed(numbers)


def test_numpy_gets_nothing(numbers):
    with pytest.raises((RuntimeError, TypeError)):
        numbers.numpy()
    assert numbers.cpu().numpy().sum() == 10


def put(x, index, value):
    x[index] = value


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x[x > 2],
        lambda x: x[[0, 1]],
        lambda x: x[torch.tensor([0, 1])],
        lambda x: put(x, x > 2, x[0]),
        lambda x: put(x, torch.arange(2, device=x.device), 1.0),
        lambda x: put(x, 0, 1.0),
        lambda x: (x > 2).nonzero(),
        lambda x: bool(x.any()),
        lambda x: float(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: torch.equal(x, x),
        lambda x: torch.ones(4).to(x.device),
        lambda x: torch.ones(4).to(x.device, non_blocking=True),
        lambda x: torch.ones(4).pin_memory().to(x.device),
        lambda x: x.copy_(torch.ones(4)),
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.where(x > 2, x, torch.tensor(0.0)),
    ],
)
def test_the_host_waits(waits, card, numbers):
    waits(numbers)
    assert card.waits.total() == 1


@pytest.mark.parametrize(
    "goes_on",
    [
        lambda x: x[:2],
        lambda x: x[torch.arange(2, device=x.device)],
        lambda x: put(x, x > 2, 1.0),
        lambda x: put(x, slice(2), 1.0),
        lambda x: put(x, torch.arange(2, device=x.device), x[:2] + 1),
        lambda x: torch.where(x > 2, x, 0.0),
        lambda x: x * torch.tensor(2.0),
        lambda x: x.new_zeros(3),
        lambda x: torch.full((2,), 1.0, device=x.device),
        lambda x: torch.ones(4).pin_memory().to(x.device, non_blocking=True),
        lambda x: x.copy_(torch.ones(4).pin_memory(), non_blocking=True),
        lambda x: upload.integers([[1, 2], [3, 4]], x.device),
        lambda x: upload.floats([1.0, 2.0], x),
    ],
)
def test_the_host_goes_on(goes_on, card, numbers):
    goes_on(numbers)
    assert not card.waits


def test_what_is_uploaded_arrives(card, numbers):
    assert upload.integers([[1, -(1 << 62)]], "cuda:0").tolist() == [[1, -(1 << 62)]]
    assert upload.integers([3], "cpu").tolist() == [3]
    sent = upload.floats([0.5], numbers.double())
    assert (sent.dtype, sent.is_cuda, sent.tolist()) == (torch.float64, True, [0.5])


def test_afterwards_all_is_as_before(card, numbers):
    with pretended.card():
        pass
    assert numbers.is_cuda


def test_without_it_there_is_no_gpu():
    with pretended.card():
        left = torch.ones(2, device="cuda")
    with pytest.raises(AssertionError, match="taken away"):
        left + 1
    assert not torch.cuda.is_available()
    with pytest.raises((AssertionError, RuntimeError)):
        torch.ones(1, device="cuda")
