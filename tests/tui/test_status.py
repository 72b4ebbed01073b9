"""The rows round the answers: what they say at which width."""

from typing import get_args

from rich.cells import cell_len

from repl.devices import GpuReading
from repl.params import Params
from repl.pool.plan import State
from repl.session.words import seconds
from repl.tui.status import Counts, Words, footer, header, replica_rows
from repl.tui.views.grid import Shape, shape, visible_range
from repl.tui.words import SIGNS, named, settings
from tests.tui.support import replica

SIZES = range(1, 240, 7)


def text(words: Words) -> str:
    return "".join(part for part, _ in words)


def test_every_state_of_a_replica_has_a_sign() -> None:
    assert set(SIGNS) == set(get_args(State))


def test_a_replica_is_told_with_units_where_there_is_room() -> None:
    status = replica("lm", running=1, tokens_per_second=212.4, state="busy")
    (row,) = replica_rows([status], {}, 80, 1)
    assert text(row).split() == ["cpu:0", "●", "lm", "1/4", "212", "tok/s", "0.3", "GB"]


def test_a_gpu_is_told_with_its_load_and_memory() -> None:
    reading = GpuReading(utilisation=0.97, memory_used=18_200_000_000, memory_total=80_000_000_000)
    (row,) = replica_rows([replica("lm", device="cuda:0")], {"cuda:0": reading}, 80, 1)
    assert "18.2/80 GB  97 % GPU" in text(row)


def test_replicas_that_are_not_up_say_so_in_words() -> None:
    rows = replica_rows(
        [replica("lm", state="failed"), replica("lm", 1, state="loading", detail="weights", loading=0.4)],
        {},
        100,
        1,
    )
    assert "✗ lm failed" in text(rows[0])
    assert "◐ lm loading 40 %" in text(rows[0])


def test_figures_that_change_do_not_move_what_stands_beside_them() -> None:
    idle = [replica("lm", 0), replica("lm", 1)]
    busy = [
        replica("lm", 0, running=3, tokens_per_second=1234.0, state="busy"),
        replica("lm", 1, state="restarting"),
    ]
    for width in (60, 80, 100, 140):
        before, after = (text(replica_rows(r, {}, width, 2)[0]) for r in (idle, busy))
        assert before.find("cpu:1") == after.find("cpu:1")


def test_figures_of_replicas_with_other_numbers_of_slots_stand_in_columns() -> None:
    replicas = [replica("lm", slots=4), replica("translator", 1, slots=16, running=9, state="busy")]
    full = [replica("lm", slots=4), replica("translator", 1, slots=16, running=16, state="busy")]
    first, second = (text(row) for row in replica_rows(replicas, {}, 60, 2))
    assert first.find("tok/s") == second.find("tok/s")
    assert text(replica_rows(full, {}, 60, 2)[1]).find("tok/s") == second.find("tok/s")


def test_every_row_fits_at_every_width() -> None:
    replicas = [replica(f"model-{n}", n, state=state) for n, state in enumerate(get_args(State))]
    for width in SIZES:
        for most in (1, 2):
            rows = replica_rows(replicas, {}, width, most)
            assert len(rows) <= most
            if len(rows) > 1 or "replicas" not in text(rows[0]):
                assert all(cell_len(text(row).rstrip()) <= width for row in rows)
        assert cell_len(text(header("demo", Counts(2, 8, 0), 0, width))) <= max(width, 15)


def test_many_replicas_on_a_narrow_screen_are_summed_up() -> None:
    replicas = [replica("lm", n) for n in range(16)] + [replica("lm", 16, state="failed")]
    (row,) = replica_rows(replicas, {}, 80, 1)
    assert text(row) == " 17 replicas  ● 16 up  ✗ 1 failed  0/68 slots  0 tok/s"


def test_the_header_tells_of_panes_without_room() -> None:
    assert "3 panes not shown" in text(header("demo", Counts(8, 8, 0), 3, 100))


def test_what_goes_on_has_precedence_over_the_settings() -> None:
    remark = [("copied 1234 characters", "")]
    assert text(footer(remark, "greedy · max 128", 30)).strip().startswith("copied 1234 characters")
    assert text(footer(remark, "greedy · max 128", 60)).endswith("greedy · max 128")


def test_settings_name_what_differs_from_the_defaults() -> None:
    assert settings(Params()) == "greedy · max 128"
    warm = Params(temperature=0.7, top_p=0.9, max_new=64)
    assert settings(warm) == "temp 0.7 · top_p 0.9 · max 64"
    assert settings(Params(beam=4)) == "beam 4 · max 128"
    near = Params(top_p=0.9999999, stop=("a\n", "b"))
    assert settings(near) == "greedy · top_p 0.9999999 · stop a\\n,b · max 128"


def test_durations_have_the_unit_that_suits_them() -> None:
    assert [seconds(s) for s in (0.009, 0.9996, 12.34, 90)] == ["9 ms", "1.0 s", "12.3 s", "1.5 min"]


def test_models_are_named_up_to_three() -> None:
    assert named(["a"]) == "a"
    assert named(["a", "b", "c"]) == "a, b and c"
    assert named(["a", "b", "c", "d"]) == "4 models"


def test_the_grid_suits_the_number_of_panes_and_the_screen() -> None:
    wide, small = (200, 46), (80, 20)
    assert [shape(n, *wide) for n in (1, 2, 3, 4, 6, 8)] == [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (4, 2)]
    assert [shape(n, *small) for n in (1, 2, 4)] == [(1, 1), (2, 1), (2, 2)]


def test_the_grid_has_a_place_for_every_pane_or_as_many_as_fit() -> None:
    for panes in range(1, 17):
        for width in SIZES:
            for height in range(1, 60, 7):
                grid = shape(panes, width, height)
                assert grid.columns >= 1 and grid.rows >= 1
                shown = visible_range(panes, grid.places, panes - 1)
                assert panes - 1 in shown
                assert len(shown) == min(panes, grid.places)


def test_panes_that_do_not_fit_come_in_pages_with_the_active_one() -> None:
    assert visible_range(8, Shape(2, 2).places, 0) == range(4)
    assert visible_range(8, 4, 5) == range(4, 8)
    assert visible_range(5, 4, 4) == range(1, 5)
