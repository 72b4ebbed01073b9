"""Fewer, larger steps for a stream that runs alone: tokens are guessed, one pass decides about them all."""
