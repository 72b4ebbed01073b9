"""The core every front end shares: asking, conversations, commands, the record, export.

The TUI and line mode build a ``Session`` and give it a ``FrontEnd``; they draw what it tells them and know
nothing of queues or records. This package imports no user-interface library and no engine library.
"""
