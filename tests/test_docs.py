"""The page on pipes and batches names every key that is printed."""

import re
from pathlib import Path

import msgspec
import pytest

from repl.batch.record import Fault, JsonLine, Scored, Seconds
from repl.line import events

PAGE = (Path(__file__).parent.parent / "docs" / "pipes-and-batches.md").read_text()
PIPES, BATCHES = PAGE.split("## Batches")


def names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


@pytest.mark.parametrize("event", events.JsonEvent.__args__, ids=lambda event: event.__struct_config__.tag)
def test_every_event_is_documented_with_its_keys(event: type[msgspec.Struct]) -> None:
    tag = event.__struct_config__.tag
    (row,) = (line for line in PIPES.splitlines() if f"`{tag}`" in line.partition("|")[2].partition("|")[0])
    assert names(row) >= set(event.__struct_fields__)


@pytest.mark.parametrize("part", [events.Alternative, events.Hypothesis, events.Fault, events.Seconds])
def test_the_parts_of_events_are_documented(part: type[msgspec.Struct]) -> None:
    assert names(PIPES) >= set(part.__struct_fields__)


@pytest.mark.parametrize("part", [JsonLine, Scored, Fault, Seconds])
def test_the_output_of_a_batch_is_documented(part: type[msgspec.Struct]) -> None:
    assert names(BATCHES) >= set(part.__struct_fields__)
