"""What runs in a replica process: one module or folder for each backend.

Backends know the messages and the parameter vocabulary, nothing else of the product: no sockets, no queues,
no panes. The module that an entry point names is imported by the front ends to describe itself, so it
imports its heavy libraries only inside ``load``.
"""
