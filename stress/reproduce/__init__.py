"""From a hang on real threads to a schedule that replays: `stage3 reproduce hang-PID.json`.

Does not print or exit except in `command`.
"""
