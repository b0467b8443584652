"""Migration streams taken apart and damaged: for the fuzz run, and for the table of malformed streams.

`layout` names every field of a whole stream, `bases` makes whole streams, `mutate` damages one at random,
`malformed` in thirty stated ways, `target` is a destination that reads from bytes.
"""
