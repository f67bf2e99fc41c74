"""Experiments: what a study is, what it shows, and the papers' figures and tables as studies.

Read `result` first, then `base`. A study computes; `genviews.report` shows what it found.
"""
