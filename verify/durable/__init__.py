"""Replays that survive edits: a recorded failure told by roles, functions, source lines and objects, not by positions.

`places` names operations, `anchoring` those of a recorded run, `matching` finds the old places in the new text,
`following` steers by them, `judging` says what became of the failure, `command` and `regression` are what people call.
"""
