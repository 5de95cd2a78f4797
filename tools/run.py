"""`make run`: an empty portal and a worker, and a one-time link for the first administrator."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from registry.settings import Settings, SettingsError
from tools.stack import Stack, Trouble, exit_on_signals


def main() -> int:
    exit_on_signals()
    try:
        settings = Settings.load()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    stack = Stack(settings.data_dir.absolute())
    try:
        url = stack.start_portal(int(os.environ.get("PORT", "0")))
        stack.start_worker()
        print(f"Portal   {url}")
        stack.start(
            "setup-link", [sys.executable, "-m", "flask", "--app", "wsgi", "registry", "setup-link", "--if-empty"]
        )
        stack.children.pop("setup-link").wait()
        link = (stack.logs / "setup-link.log").read_text().strip().splitlines()
        if link and link[-1].startswith("http"):
            print(f"Set-up   {link[-1]}\n         makes the first administrator; works once, within a day")
        print(f"Logs     {stack.logs}\nStop     Ctrl-C", flush=True)
        while True:
            for name in ("portal", "worker"):
                stack.check(name)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    except Trouble as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        stack.stop()


if __name__ == "__main__":
    raise SystemExit(main())
