"""The commands, defined once for every front end."""
