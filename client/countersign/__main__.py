"""`python -m countersign` is the `countersign` command."""

from countersign.cli import main

main(prog_name="countersign")
