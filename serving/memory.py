"""Memory that starting leaves behind."""

import contextlib
import ctypes
import gc

OBJECTS = 20_000  # that may come to be before Python looks for cycles among them: a frame of 1,000 rows has 1,000 lists


def give_back() -> None:
    """Return what is free to the system: reading models takes several times what they hold. Only glibc keeps it.

    What is there now stays, so the search for cycles leaves it out from here on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
