"""Tests of the trace schema, the replay token, the store and the text view."""
