"""Ten programs, each with one fault, that `bench.durable` finds, edits and judges again; `main` starts each."""
