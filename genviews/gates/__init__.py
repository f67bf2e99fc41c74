"""Gates: what must hold before a verdict means anything, each with the number that was found.

    models, images, labels -> GATES -> inversion, views, ensemble -> GATES -> verdict, or a red line

A classifier whose classes are in another order, or a generator that draws one picture, ends in
confident numbers like any other. What can be told by looking at a model alone is refused when it is
loaded; a gate tells what only the data tell: `answers` of a classifier to labelled images, and to
`views` of them; `models` tried on images; `pictures` that a generator draws, and inversions that it
is given. A gate is one function, with its threshold beside it, and gives None where it cannot be
asked. Studies ask them all (`genviews.studies.gates`), and `GenerativeTTA.fit` what its calibration
images tell.

Tests are exact and one-sided at `LEVEL`: a gate closes on what luck does not explain, so a weak
classifier, a small sample or a blurred reconstruction leaves it open. How often gates close on
sound set-ups, and on planted faults, is measured by `benchmarks/gates.py`.
"""
