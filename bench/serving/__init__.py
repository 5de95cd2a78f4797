"""Serving side by side with peers: ``make bench-serving``."""

import os

# Here, because numpy reads them when it is imported: one thread for every side, as in the sandbox and in a model's process.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1")
os.environ |= THREADS
