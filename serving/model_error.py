"""What keeps a model from being loaded or run, as the runner says it. Needs the standard library only."""

TEXT_LIMIT = 200  # characters of one parameter or message
VERSIONS_HINT = "Most often the lock has other library versions than the training had; compare them."


class RunnerError(Exception):
    """The model cannot be loaded or run. ``code`` is stable; ``hint`` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def told(raised: Exception) -> dict[str, str]:
    """Any failure as the runner says it."""
    error = raised if isinstance(raised, RunnerError) else RunnerError("load-failed", brief(raised), VERSIONS_HINT)
    return {"code": error.code, "message": str(error), "hint": error.hint}


def brief(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:TEXT_LIMIT]}"
