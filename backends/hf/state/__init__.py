"""The model's state for the rows of a batch: what was read, and how one token more is computed."""
