"""How panes share the screen: the shape of the grid for a number of panes and a size."""

from math import ceil, log
from typing import NamedTuple

LEAST_WIDTH = 20
LEAST_HEIGHT = 3
GOOD_WIDTH = 32
GOOD_HEIGHT = 6
ASPECT = 3.0
"""Cells across for each cell down that make a pane pleasant to read."""


class Shape(NamedTuple):
    """A grid; it has fewer places than panes where the screen is too small for all."""

    columns: int
    rows: int

    @property
    def places(self) -> int:
        """How many panes are on the screen at once."""
        return self.columns * self.rows


def shape(panes: int, width: int, height: int) -> Shape:
    """The grid for ``panes`` panes on ``width`` x ``height`` cells."""
    most_columns = max(1, width // LEAST_WIDTH)
    most_rows = max(1, height // LEAST_HEIGHT)
    if most_columns * most_rows < panes:
        return Shape(most_columns, most_rows)
    candidates = [Shape(columns, ceil(panes / columns)) for columns in range(1, min(panes, most_columns) + 1)]
    fitting = [s for s in candidates if s.rows <= most_rows]
    return min(fitting, key=lambda s: _discomfort(s, panes, width, height), default=Shape(1, 1))


def _discomfort(grid: Shape, panes: int, width: int, height: int) -> float:
    across, down = width / grid.columns, height / grid.rows
    narrow = max(0.0, GOOD_WIDTH - across) / 10
    low = max(0.0, GOOD_HEIGHT - down) / 4
    holes = 0.7 * (grid.places > panes)
    return abs(log(across / down / ASPECT)) + narrow + low + holes


def visible_range(panes: int, places: int, active: int) -> range:
    """Which panes are shown when not all fit: a page of them that holds the active one."""
    if panes <= places:
        return range(panes)
    first = min(active // places * places, panes - places)
    return range(first, first + places)
