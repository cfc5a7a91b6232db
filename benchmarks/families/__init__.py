"""The families of cases: each folder is one, its `family.py` says how it is fed, run and judged."""
