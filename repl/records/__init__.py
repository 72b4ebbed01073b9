"""``multigpu-repl records``: lists, searches, shows and exports what every session has left in the record.

It reads the file that running sessions write to; nothing it does changes an answer.
"""

import argparse
import sys
from pathlib import Path

from repl import exits
from repl.probe.figure import plural
from repl.records.reader import Reader, RecordError
from repl.session.errors import InputError
from repl.session.record.finding import Query
from repl.session.record.store import default_path


def main(said: argparse.Namespace) -> int:
    """Do what the words of ``repl.arguments.records`` say; returns the exit code."""
    path = Path(said.record) if said.record else default_path()
    try:
        with Reader(path) as reader:
            return _obey(reader, said)
    except (RecordError, InputError) as error:
        hint = f"\n  {error.hint}" if error.hint else ""
        print(f"multigpu-repl records: {error.message}{hint}", file=sys.stderr)
        return exits.USAGE


def _obey(reader: Reader, said: argparse.Namespace) -> int:
    from repl.records import printing

    match said.action:
        case "list" | "search":
            found = reader.find(_query(said), said.limit)
            return printing.listed(found, as_json=said.json)
        case "show":
            return printing.shown([(reader.exchange(n), reader.notes(n)) for n in said.numbers], said.json)
        case "sessions":
            return printing.sessions(reader.sessions(), as_json=said.json)
        case "path":
            print(reader.path)
            return exits.OK
        case _:
            return _export(reader, said)


def _query(said: argparse.Namespace) -> Query:
    return Query(
        text=getattr(said, "text", "") or "",
        model=said.model,
        session=said.session,
        task=said.task,
        since=said.since,
        probes=said.probes,
    )


def _export(reader: Reader, said: argparse.Namespace) -> int:
    from repl.session import export

    numbers = reader.numbers(_query(said))
    if not numbers:
        raise InputError("nothing in the record fits", "multigpu-repl records list shows what there is")

    exchanges = (reader.exchange(number) for number in numbers)
    written = export.write(Path(said.file), exchanges, replace=said.replace)
    print(f"{written} has {plural(len(numbers), 'answer')}", file=sys.stderr)
    return exits.OK
