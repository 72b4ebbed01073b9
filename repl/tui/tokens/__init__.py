"""Answers token by token: heat, the cursor that walks them, where answers part."""
