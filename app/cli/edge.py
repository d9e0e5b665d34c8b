"""The outermost edge of the command line: whatever happens inside becomes an exit code and one line."""

import os
import sys
from collections.abc import Callable

import typer

from app.cli.quiet import DEBUG_VARIABLE, debugging
from core.errors import IloraError, RunStopped

DONE, BUG, MENDABLE, INTERRUPTED = 0, 1, 2, 130


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command to its end.

    Returns:
        0 done (or the code the command itself exits with), 1 a bug of ours or a reader that has gone,
        2 something the person can mend, 130 interrupted. Complaints are one line on stderr.
    """
    try:
        result = command()
        sys.stdout.flush()  # here, where a reader that has gone is still ours to handle
        return result if isinstance(result, int) else DONE
    except RunStopped as stopped:
        print(stopped, file=sys.stderr)
        return INTERRUPTED
    except IloraError as error:
        _complain(str(error))
        return MENDABLE
    except typer.TyperException as error:
        # No message: a command group was called without arguments, and its help is already printed.
        if message := error.format_message():
            _complain(f"{message} Try --help.")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # `head` or a pager has read enough. Python flushes once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BUG
    except Exception as error:
        if debugging():
            raise
        _complain(f"{type(error).__name__}: {error} (run again with {DEBUG_VARIABLE}=1 for the traceback)")
        return BUG


def _complain(message: str) -> None:
    print("Error:", *message.split(), file=sys.stderr)
