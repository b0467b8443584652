"""Shrinking: from a schedule that fails to the simplest one that fails in the same way.

Read in this order: `turns` (a schedule as who runs until when), `cost` (what a schedule costs), `budget`, `trials`
(running a candidate), `subsets` (delta debugging), `shrinking` (the passes).
"""
