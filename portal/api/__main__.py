"""Prints the description: ``python -m portal.api > docs/openapi.json``."""

import sys

from portal.api import openapi

sys.stdout.write(openapi.text())
