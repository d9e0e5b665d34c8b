"""One at a time, few in line, and an answer at once for everybody else."""

import threading

import pytest

from app.web.turnstile import Busy, Turnstile


def test_only_one_is_inside_at_any_time() -> None:
    turnstile, inside, most, done = Turnstile(line=20), 0, 0, []

    def visit() -> None:
        nonlocal inside, most
        with turnstile.pass_through():
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.005)
            inside -= 1
            done.append(True)

    threads = [threading.Thread(target=visit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(done), turnstile.waiting) == (1, 12, 0)


def test_a_full_line_refuses_at_once_and_names_a_time() -> None:
    turnstile = Turnstile(line=0)
    with (
        turnstile.pass_through(),
        pytest.raises(Busy, match=r"about \d+ s") as refused,
        turnstile.pass_through(),
    ):
        pass
    assert refused.value.seconds >= 1
    with turnstile.pass_through():  # the refused one left no trace
        assert turnstile.waiting == 0


def test_a_crash_inside_lets_the_next_one_in() -> None:
    turnstile = Turnstile(line=0)
    with pytest.raises(ZeroDivisionError), turnstile.pass_through():
        _ = 1 / 0
    with turnstile.pass_through():
        pass
