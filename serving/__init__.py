"""The server inside the image: checks what was sealed, then answers the Open Inference Protocol. Never calls home."""

__version__ = "0.1.0"
