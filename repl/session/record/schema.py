"""The tables of the record, and how an older file becomes a current one.

One ``run`` is one start of the program; a ``session`` may span several runs, since it can be resumed.
``gen`` is one answer, ``tok`` its tokens, ``top`` the alternatives at each of them. Prompts and answers
are ``node`` rows, addressed by a hash over their parent, role and text, so that a conversation is stored
once however often it branches: ``gen.in_hash`` is the prompt and leads to all before it, ``gen.out_hash``
the answer. What a probe asked has a ``task`` of its own, the scored text as ``target``, and what it made an
answer from as ``origin_*``. ``cmp`` holds the divergences of two answers, ``note`` what a person thought.

Log-probabilities are in nats, times in seconds, dates ISO 8601 in UTC; ``spec``, ``params_*``, ``marks``,
``notes``, ``hypotheses``, ``reading`` and ``error`` are JSON, ``*_ids`` 64-bit integers, ``prompt_pieces`` a
msgpack list of bytes. ``PRAGMA user_version`` counts the migrations applied.

``search`` indexes the texts of ``node`` by their trigrams, where SQLite has FTS5.
"""

import sqlite3

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counter VALUES ('gen', 0)",
        """CREATE TABLE session (
            session_id TEXT PRIMARY KEY, created TEXT NOT NULL, state TEXT NOT NULL)""",
        """CREATE TABLE run (
            run_id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES session,
            host TEXT, pid INTEGER, argv TEXT, versions TEXT, started TEXT NOT NULL)""",
        """CREATE TABLE line (
            line_id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run,
            typed TEXT NOT NULL, text TEXT NOT NULL)""",
        """CREATE TABLE model (
            model_id INTEGER PRIMARY KEY, name TEXT NOT NULL, backend TEXT NOT NULL, path TEXT NOT NULL,
            spec TEXT NOT NULL, dtype TEXT NOT NULL, weights_sha TEXT NOT NULL, vocab_fp TEXT NOT NULL,
            UNIQUE (spec, dtype, weights_sha, vocab_fp))""",
        """CREATE TABLE node (
            hash BLOB PRIMARY KEY, parent_hash BLOB REFERENCES node,
            role TEXT NOT NULL, text TEXT NOT NULL)""",
        """CREATE TABLE gen (
            gen_id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run,
            session_id TEXT NOT NULL REFERENCES session, line INTEGER NOT NULL,
            conversation TEXT NOT NULL, parent_id INTEGER, created TEXT NOT NULL,
            in_hash BLOB NOT NULL REFERENCES node, out_hash BLOB REFERENCES node,
            model_id INTEGER NOT NULL REFERENCES model, replica TEXT, pin TEXT,
            template INTEGER NOT NULL, prefix TEXT NOT NULL,
            params_req TEXT NOT NULL, params_eff TEXT NOT NULL,
            seed INTEGER, sample INTEGER NOT NULL, lane TEXT NOT NULL, batch_size INTEGER,
            prompt_ids BLOB, prompt_text TEXT, truncated INTEGER, state TEXT NOT NULL, finish TEXT NOT NULL,
            native_score REAL, sum_raw_nats REAL, n_tok INTEGER NOT NULL, n_bytes INTEGER NOT NULL,
            rewrites INTEGER NOT NULL, t_queue REAL, t_first REAL, t_total REAL,
            marks TEXT NOT NULL, notes TEXT NOT NULL, hypotheses TEXT, error TEXT)""",
        "CREATE INDEX gen_session ON gen (session_id)",
        """CREATE TABLE tok (
            gen_id INTEGER NOT NULL REFERENCES gen, pos INTEGER NOT NULL, id INTEGER NOT NULL,
            bytes BLOB NOT NULL, text TEXT NOT NULL, raw_lp REAL, proc_lp REAL, search_lp REAL,
            rank INTEGER, entropy REAL, forced INTEGER NOT NULL, PRIMARY KEY (gen_id, pos)) WITHOUT ROWID""",
        """CREATE TABLE top (
            gen_id INTEGER NOT NULL REFERENCES gen, pos INTEGER NOT NULL, k INTEGER NOT NULL,
            id INTEGER NOT NULL, bytes BLOB NOT NULL, raw_lp REAL,
            PRIMARY KEY (gen_id, pos, k)) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE gen ADD COLUMN task TEXT NOT NULL DEFAULT 'generate'",
        "ALTER TABLE gen ADD COLUMN target TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE gen ADD COLUMN target_ids BLOB",
        "ALTER TABLE gen ADD COLUMN prefix_ids BLOB",
        "ALTER TABLE gen ADD COLUMN opening TEXT NOT NULL DEFAULT 'auto'",
        "ALTER TABLE gen ADD COLUMN closing INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE gen ADD COLUMN prompt_pieces BLOB",
        "ALTER TABLE gen ADD COLUMN reused INTEGER",
        "ALTER TABLE gen ADD COLUMN padded_len INTEGER",
        "ALTER TABLE gen ADD COLUMN reading TEXT",
        "ALTER TABLE gen ADD COLUMN device TEXT",
        "ALTER TABLE gen ADD COLUMN shown INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE gen ADD COLUMN origin_id INTEGER",
        "ALTER TABLE gen ADD COLUMN origin_pos INTEGER",
        "ALTER TABLE gen ADD COLUMN origin_how TEXT",
        """CREATE TABLE cmp (
            gen_a INTEGER NOT NULL REFERENCES gen, gen_b INTEGER NOT NULL REFERENCES gen,
            pos INTEGER NOT NULL,
            kl REAL, js REAL, tv REAL, argmax_eq INTEGER, kl_kind TEXT NOT NULL,
            PRIMARY KEY (gen_a, gen_b, pos)) WITHOUT ROWID""",
        """CREATE TABLE note (
            note_id INTEGER PRIMARY KEY, gen_id INTEGER NOT NULL REFERENCES gen,
            written TEXT NOT NULL, vote INTEGER NOT NULL, text TEXT NOT NULL)""",
        "CREATE INDEX note_gen ON note (gen_id)",
        "CREATE INDEX gen_in ON gen (in_hash)",
        "CREATE INDEX gen_out ON gen (out_hash)",
    ),
    (
        "ALTER TABLE gen ADD COLUMN drafted INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE gen ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0",
    ),
)

SEARCH = (
    "CREATE VIRTUAL TABLE search USING fts5(text, content='node', content_rowid='rowid', tokenize='trigram')",
    "INSERT INTO search (search) VALUES ('rebuild')",
    """CREATE TRIGGER node_search AFTER INSERT ON node BEGIN
        INSERT INTO search (rowid, text) VALUES (new.rowid, new.text); END""",
)
"""Made apart from the migrations: an SQLite without FTS5 does without."""


class TooNew(Exception):
    """The file was written by a later version of this program."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date; a file of a later version raises ``TooNew`` and is left alone.

    ``connection`` is in autocommit mode. Safe when several processes open one new file at once.
    """
    if _version(connection) == len(MIGRATIONS) and (searchable(connection) or not _fts5(connection)):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise TooNew(f"its schema is version {version}; this program knows {len(MIGRATIONS)}")
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if _fts5(connection) and not searchable(connection):
            for statement in SEARCH:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def searchable(connection: sqlite3.Connection) -> bool:
    """Whether the texts have an index."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'search'").fetchone()
    return found is not None


def _fts5(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite can make one; its trigrams came with 3.34."""
    (has,) = connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()
    return bool(has) and sqlite3.sqlite_version_info >= (3, 34)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
