"""Programs of the steps compile and parity. They run in the sandbox, beside serving's own code, never in the worker."""
