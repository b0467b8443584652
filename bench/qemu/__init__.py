"""Migrations between this engine and a real QEMU, compared byte by byte: `python -m bench.qemu`.

Promises: every cell starts a QEMU of its own, migrates a guest of 16 MiB, and compares all of its memory;
QEMU is ended whatever happens. Assumes: `qemu-system-x86_64` is on PATH; no KVM is needed.
Does not: compare device state, which the engine passes on unread.

`process` is a QEMU and its monitor, `guest` the boot program that dirties memory, `cells` the two
directions, `streams` what is written to files and read from them.
"""
