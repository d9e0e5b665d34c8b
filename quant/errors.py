"""The root of the product's error hierarchy, in the lowest room so that every room can raise it.

Each message says what was given, what is allowed and what to do. Only the outermost edge (CLI, page)
catches :class:`IloraError`; everything else is a bug and is allowed to crash.
"""


class IloraError(Exception):
    """A mistake a person can mend: shown as one sentence, exit code 2, never a traceback."""


class BackboneError(IloraError):
    """A backbone cannot be found, read or quantized as asked."""


def first_line(error: BaseException) -> str:
    """What a library's error says, cut to the one line that fits into a sentence of ours."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
