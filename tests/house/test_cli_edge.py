"""Whatever happens inside a command, a person sees at most one line, and a script a meaningful exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from app.cli.edge import exit_code_of
from core.errors import UnknownItem

ILORA = (sys.executable, "-m", "app.cli.main")


def _ilora(*args: str, repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ILORA, *args], cwd=repository, capture_output=True, text=True, timeout=120)


def _raises(error: BaseException) -> Callable[[], object]:
    def command() -> object:
        raise error

    return command


def test_a_mendable_error_is_one_line_on_stderr_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    error = UnknownItem("Fargoo", ["Fargo (1996)"])
    assert exit_code_of(_raises(error)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Error: {error}\n"


def test_a_message_of_several_lines_is_still_printed_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(_raises(UnknownItem("two\nlines"))) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_is_named_in_one_line_that_says_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ILORA_DEBUG", raising=False)
    assert exit_code_of(_raises(ZeroDivisionError("division by zero"))) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ZeroDivisionError: division by zero") and "ILORA_DEBUG=1" in err
    assert err.count("\n") == 1


def test_debugging_lets_the_traceback_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILORA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        exit_code_of(_raises(ZeroDivisionError()))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), typer.Abort()])
def test_an_interruption_exits_with_130_and_says_nothing(
    interruption: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(_raises(interruption)) == 130
    assert capsys.readouterr() == ("", "")


def test_a_command_that_ends_well_exits_with_0_and_one_that_chooses_its_code_keeps_it() -> None:
    assert exit_code_of(lambda: None) == 0
    assert exit_code_of(lambda: 2) == 2  # what Typer hands back for `raise typer.Exit(2)`


@pytest.mark.parametrize(
    "arguments",
    [("no-such-command",), ("doctor", "--no-such-option"), ("data", "fetch", "no-such-asset")],
)
def test_a_wrong_command_is_one_line_on_stderr_and_exit_code_2(
    arguments: tuple[str, ...], repository: Path
) -> None:
    done = _ilora(*arguments, repository=repository)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert arguments[-1] in done.stderr


def test_a_reader_that_goes_away_is_no_error(repository: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody_reads:
        done = subprocess.run(
            [*ILORA, "--help"],
            cwd=repository,
            stdout=nobody_reads,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.stderr == ""


def test_help_loads_none_of_the_heavy_libraries(repository: Path) -> None:
    """Seconds differ between machines; what makes `--help` slow on all of them is importing these."""
    heavy = {"torch", "transformers", "peft", "gradio", "onnxruntime", "sklearn", "scipy", "pandas", "plotly"}
    program = f"import sys, app.cli.main; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == []
    assert done.returncode == 0


def test_every_command_has_a_sentence_of_help() -> None:
    from typer.main import get_command

    from app.cli.main import cli

    commands = get_command(cli).commands  # type: ignore[attr-defined]
    assert {"doctor", "data"} <= set(commands)
    for name, command in commands.items():
        for path, below in {name: command, **getattr(command, "commands", {})}.items():
            assert (below.help or "").strip(), f"`ilora {path}` has no help"


def test_the_line_about_optional_kernels_is_hidden_from_people_and_shown_when_debugging(
    repository: Path,
) -> None:
    program = (
        "import logging; from app.cli.quiet import quiet_libraries; logging.basicConfig(); quiet_libraries();"
        "log = logging.getLogger('bitsandbytes.backends.cpu.ops');"
        "log.warning('Failed to load from kernels-community'); log.warning('something else')"
    )

    def printed(debug: str) -> str:
        surroundings = {**os.environ, "ILORA_DEBUG": debug}
        return subprocess.run(
            [sys.executable, "-c", program], cwd=repository, env=surroundings, capture_output=True, text=True
        ).stderr

    assert "kernels-community" not in printed("") and "something else" in printed("")
    assert "kernels-community" in printed("1")
