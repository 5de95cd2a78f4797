"""The portal for a WSGI server: ``gunicorn wsgi:app``."""

import sys

from portal import create_app, logs
from registry.settings import Settings, SettingsError

try:
    settings = Settings.load()
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(3) from None  # gunicorn's code for "cannot boot": it stops instead of trying again
logs.configure(settings.log_level)
app = create_app(settings)
