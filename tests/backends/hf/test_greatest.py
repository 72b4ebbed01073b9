"""The greatest of each row are those that torch finds."""

import pytest

torch = pytest.importorskip("torch")

from backends.hf.choosing import greatest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 8, 20])
def test_topk_is_that_of_torch_and_leaves_the_row_alone(dtype, rows, count):
    table = torch.randn(rows, 300, dtype=dtype, generator=torch.Generator().manual_seed(count))
    before = table.clone()
    values, places = greatest.topk(table, count)
    expected = before.topk(count)
    assert torch.equal(values, expected.values) and torch.equal(places, expected.indices)
    assert values.dtype == dtype and torch.equal(table, before)


@pytest.mark.parametrize("rows", [2, 6])
def test_rows_with_fewer_real_values_than_asked_name_no_place_twice(rows):
    table = torch.full((rows, 6), -torch.inf)
    table[0, 4], table[1, 0], table[1, 1] = 1.0, 2.0, 3.0
    before = table.clone()
    values, places = greatest.topk(table, 3)
    assert values[:2].tolist() == [[1.0, -torch.inf, -torch.inf], [3.0, 2.0, -torch.inf]]
    assert all(len(set(row)) == 3 for row in places.tolist()) and places[:2, 0].tolist() == [4, 1]
    assert torch.equal(table, before)


def test_argmax_takes_the_first_of_equals_and_a_part_of_a_larger_tensor():
    table = torch.tensor([[1.0, 9.0, 9.0], [9.0, 0.0, 1.0], [-torch.inf, -torch.inf, -torch.inf]])
    assert greatest.argmax(table).tolist() == [1, 0, 0]
    wide = torch.randn(4, 3, 50)
    assert torch.equal(greatest.argmax(wide[:, -1]), wide[:, -1].argmax(-1))
