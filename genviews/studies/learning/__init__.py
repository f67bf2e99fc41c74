"""The learning arrow studied: rows, their setting, tables by name, and what they say.

Read `row` first, then `tables`, `run` and `study`.
"""
