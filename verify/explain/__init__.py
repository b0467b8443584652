"""Explanation: the few orders of operations that make a run fail, how sure that is, and the pair that is decided last.

Read in this order: `events` (the orders a run shows), `ordered` (schedules that meet orders), `sampling`, `reducing`
(the fewest), `places` (steps and stacks), `simplifying` (all of it, with shrinking, within a budget).
"""
