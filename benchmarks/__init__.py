"""Every speed figure of the README, reproduced by one command: ``python -m benchmarks``.

``corpus/`` writes the seeded files, ``contenders/`` holds one program per file, ``harness.py`` runs each of
them in
its own process, in turns, and checks what came out; ``report.py`` and ``chart.py`` write what a reader looks
at.
"""
