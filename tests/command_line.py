"""`ilora` in this process: what a command prints and its exit code, without paying for a new interpreter.

Processes are started where they are the point: in the edge's own tests, and once for a list.
"""

import io
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess

from app.cli.edge import exit_code_of
from app.cli.main import cli


def ilora(*arguments: object) -> "CompletedProcess[str]":
    """A command as the console script runs it, both streams captured."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = exit_code_of(lambda: cli(words, standalone_mode=False))
    return CompletedProcess(words, code, out.getvalue(), err.getvalue())
