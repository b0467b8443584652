"""Control of a machine by QMP, QEMU's monitor protocol, as a user of QEMU 7.2 knows it.

| module | what lives there |
|---|---|
| `framing`, `messages` | bytes to commands, values to bytes; bounded, no I/O |
| `arguments`, `dispatch`, `session` | types of arguments, the table of commands, one client's conversation |
| `connection`, `server` | a client's socket; the monitor's thread |
| `text` | what the human monitor prints: `info migrate` and others |
"""
