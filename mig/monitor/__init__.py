"""Control of a machine by QMP, QEMU's monitor protocol, as a user of QEMU 7.2 knows it.

| module | what lives there |
|---|---|
| `framing`, `messages` | bytes to commands, values to bytes; bounded, no I/O |
| `arguments`, `dispatch`, `session` | types of arguments, the table of commands, one client's conversation |
| `connection`, `server` | a client's socket; the monitor's thread |
| `answers`, `text` | the queries' answers as values; what the human monitor prints: `info migrate` and others |
| `outgoing`, `arriving` | a user's migrations: connected in the background; the one that is waited for |
| `commands`, `served` | the commands of a machine; machine, monitor and events put together |
"""
