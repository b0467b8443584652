"""One small program for each tool that `bench.peers` measures, run with that tool's own interpreter.

Each is started as `python -m bench.peer_programs.NAME PROGRAM MODE SECONDS` and prints one line of
JSON (see `telling`). They import the standard library, `telling` and the tool, nothing else.
"""
