"""What one scan may cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scan may cost. Sizes are bytes, times seconds."""

    file_size: int = 4 << 30
    inflated_size: int = 8 << 30
    opcodes: int = 30_000_000
    memory: int = 2 << 30
    cpu_seconds: int = 120
    wall_seconds: int = 180
