"""Real threads under observation: a flight recorder that another process can read while the program hangs.

`snapshot` says what is known of a process at one moment; `layout` is the shared-memory file that carries it,
`recorder` writes it from inside, `flight` reads it from outside; `locks`, `composed`,
`conditions`, `tables`, `threads` and `blocking` are the standard library's primitives with the recording added,
`install` puts them in place, `startup` does so in every child.
"""
