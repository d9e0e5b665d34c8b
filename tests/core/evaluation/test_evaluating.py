"""Per-user results: right for every user, never asked twice, never mixed with other data, safe to kill."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import RunError
from core.evaluation.evaluating import CHUNK, asked_rows, evaluate
from core.evaluation.methods import Answers, Identity, pick
from core.evaluation.questions import Questions
from core.evaluation.records import SCHEMA, read_results
from core.routing import Indices
from tests.core.evaluation.toy import USERS, Naming, Scripted, other_data, toy_questions

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("own_candidates")


@pytest.fixture
def asked() -> Questions:
    return toy_questions(draws=2, kinds=("uniform", "popularity"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_one_file_per_kind_and_draw_and_one_row_per_user(asked: Questions, tmp_path: Path) -> None:
    results = evaluate(asked, Scripted(asked), tmp_path)
    assert [(r.header.candidates, r.header.draw) for r in results] == [
        (kind, draw) for kind in ("uniform", "popularity") for draw in (0, 1)
    ]
    assert {path.parent.name for path in tmp_path.rglob("*.parquet")} == {"toy-loo-test"}
    for result in results:
        assert result.table.schema == SCHEMA
        assert result.users == [f"u{number}" for number in range(USERS)]


def test_rank_full_rank_and_list_are_those_of_a_naive_twin(asked: Questions, tmp_path: Path) -> None:
    method = Scripted(asked)
    for result, table in zip(evaluate(asked, method, tmp_path), asked.tables, strict=True):
        ranks, full = result.numbers("rank"), result.numbers("full_rank")
        for position, case in enumerate(asked.cases):
            scores = method.scores[position]
            own = scores[case.target]
            assert ranks[position] == 1 + sum(scores[item] > own for item in table.table[position])
            unseen = [item for item in range(len(scores)) if item not in case.history]
            assert full[position] == 1 + sum(scores[item] > own for item in unseen)
            best = sorted(unseen, key=lambda item: -scores[item])[:10]
            assert result.words("top10")[position] == [f"i{item}" for item in best]
            assert result.words("target")[position] == f"i{case.target}"
            assert result.numbers("score")[position] == own
            assert result.numbers("history_length")[position] == len(case.history)


def test_a_file_says_what_it_was_made_from(asked: Questions, tmp_path: Path) -> None:
    header = evaluate(asked, Scripted(asked), tmp_path)[2].header
    assert header.dataset_sha256 == asked.dataset.sha256
    assert header.candidates_sha256 == asked.tables[2].sha256
    assert (header.recipe, header.weights, header.note) == ("r" * 64, "w" * 64, "scripted")
    assert (header.train_samples, header.train_minutes, header.seed) == (320, 1.5, 1)
    assert (header.cases, header.catalogue, header.width) == (USERS, 60, 20)


def test_an_evaluation_that_was_killed_ends_with_the_same_bytes(asked: Questions, tmp_path: Path) -> None:
    evaluate(asked, Scripted(asked), tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        evaluate(asked, Scripted(asked, stop_after=1), tmp_path / "killed")
    [*stored] = (read_results(path) for path in (tmp_path / "killed").rglob("*.parquet"))
    assert [len(result.users) for result in stored] == [CHUNK] * 4
    again = Scripted(asked)
    evaluate(asked, again, tmp_path / "killed")
    assert np.concatenate(again.asked).tolist() == list(range(CHUNK, USERS))
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")


def test_sigkill_in_the_second_chunk_loses_that_chunk_alone(asked: Questions, tmp_path: Path) -> None:
    evaluate(asked, Scripted(asked), tmp_path / "unbroken")
    program = f"""
import os, signal
from pathlib import Path
from core.data import candidate_files
from core.evaluation.evaluating import evaluate
from tests.core.evaluation.toy import Scripted, toy_questions

class Dying(Scripted):
    def answer(self, rows):
        if self.asked:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(rows)

candidate_files.cache_root = lambda: Path({str(tmp_path / "cache")!r})
asked = toy_questions(2, ("uniform", "popularity"))
evaluate(asked, Dying(asked), Path({str(tmp_path / "killed")!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert {len(read_results(p).users) for p in (tmp_path / "killed").rglob("*.parquet")} == {CHUNK}
    evaluate(asked, Scripted(asked), tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")


def test_a_kill_between_two_files_of_a_chunk_loses_neither(asked: Questions, tmp_path: Path) -> None:
    evaluate(asked, Scripted(asked), tmp_path / "unbroken")
    evaluate(asked, Scripted(asked), tmp_path / "killed")
    next((tmp_path / "killed").rglob("*popularity-1.parquet")).unlink()
    evaluate(asked, Scripted(asked), tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")


def test_what_is_there_is_not_asked_again_and_needs_nothing_loaded(asked: Questions, tmp_path: Path) -> None:
    evaluate(asked, Scripted(asked), tmp_path)

    class Unloadable(Scripted):
        def open(self, questions: Questions, step: object) -> list[Scripted]:  # type: ignore[override]
            raise AssertionError("loaded although every result is there")

    assert len(evaluate(asked, Unloadable(asked), tmp_path)) == 4


def test_a_few_users_first_and_the_rest_later_are_all_users(asked: Questions, tmp_path: Path) -> None:
    few = evaluate(asked, Scripted(asked), tmp_path, users=20)
    assert [len(result.users) for result in few] == [20] * 4
    assert len(evaluate(asked, Scripted(asked), tmp_path)[0].users) == USERS
    shown = evaluate(asked, Scripted(asked), tmp_path, users=20)[0]
    assert shown.users == few[0].users and shown.header.cases == USERS


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"recipe": "x" * 64}, "another recipe"),
        ({"weights": "x" * 64}, "another training"),
    ],
)
def test_results_of_another_training_are_refused(
    changed: dict[str, str], sentence: str, asked: Questions, tmp_path: Path
) -> None:
    evaluate(asked, Scripted(asked), tmp_path)
    other = Scripted(asked)
    other.identity = replace(other.identity, **changed)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=f"{sentence}: remove it, or name another folder"):
        evaluate(asked, other, tmp_path)


def test_results_of_other_data_or_candidates_are_refused(asked: Questions, tmp_path: Path) -> None:
    evaluate(asked, Scripted(asked), tmp_path)
    changed = toy_questions(2, ("uniform", "popularity"), other_data())
    with pytest.raises(RunError, match="holds results of other data"):
        evaluate(changed, Scripted(changed), tmp_path)
    first, *rest = asked.tables
    redrawn = replace(asked, tables=(replace(first, table=first.table[:, ::-1].copy()), *rest))
    with pytest.raises(RunError, match="holds results of other candidates"):
        evaluate(redrawn, Scripted(redrawn), tmp_path)


def test_a_file_that_is_no_result_is_refused_in_one_sentence(asked: Questions, tmp_path: Path) -> None:
    path = evaluate(asked, Scripted(asked), tmp_path)[0].path
    path.write_bytes(b"nonsense")
    with pytest.raises(RunError, match="holds no results of `ilora evaluate`"):
        evaluate(asked, Scripted(asked), tmp_path)


def test_an_answer_that_names_one_candidate_hits_where_it_is_the_target(tmp_path: Path) -> None:
    asked = toy_questions()
    [result] = evaluate(asked, Naming(asked), tmp_path)
    columns = (asked.tables[0].table == asked.tables[0].targets[:, None]).argmax(1)
    even = np.arange(USERS) % 2 == 0
    assert ((result.numbers("rank") == 1) == (even & (columns == 3))).all()
    assert (result.numbers("valid") == even).all()
    assert np.isnan(result.numbers("score")).tolist() == (~even).tolist()
    assert np.isnan(result.numbers("full_rank")).all() and set(map(len, result.words("top10"))) == {0}
    assert result.gates().shape == (USERS, 0)


def test_a_nan_among_the_scores_is_no_answer(tmp_path: Path) -> None:
    asked = toy_questions()
    method = Scripted(asked)
    method.scores[0, asked.tables[0].table[0]] = np.nan
    [result] = evaluate(asked, method, tmp_path)
    assert result.numbers("valid").tolist() == [0.0] + [1.0] * (USERS - 1)
    assert result.numbers("rank")[0] == 20 and result.words("top10")[0] == []


def test_picked_scores_are_those_of_each_tables_candidates() -> None:
    scores = np.arange(10, dtype=np.float32).reshape(2, 5)
    tables = (np.array([[4, 0], [1, 1]]), np.array([[2], [3]]))
    assert [part.tolist() for part in pick(scores, tables)] == [[[4, 0], [6, 6]], [[2], [8]]]


def test_two_evaluations_do_not_write_into_one_folder(asked: Questions, tmp_path: Path) -> None:
    class Meddling(Scripted):
        def answer(self, rows: Indices) -> Answers:
            evaluate(self.questions, Scripted(self.questions, "LoRA"), tmp_path)
            return super().answer(rows)

    with pytest.raises(RunError, match="written by another process"):
        evaluate(asked, Meddling(asked), tmp_path)


def test_names_that_no_file_system_likes_become_file_names(asked: Questions, tmp_path: Path) -> None:
    method = Scripted(asked, "LoRA + SASRec")
    method.identity = Identity("LoRA + SASRec", "my run: 3/4", 1)
    names = sorted(result.path.name for result in evaluate(asked, method, tmp_path))
    assert names[0] == "lora-sasrec--my-run-3-4--popularity-0.parquet"


def test_a_sample_of_users_is_the_same_for_every_method_and_of_those_asked(
    asked: Questions, tmp_path: Path
) -> None:
    one, other = Scripted(asked, "LoRA"), Scripted(asked, "iLoRA")
    few = evaluate(asked, one, tmp_path, users=100, sample=70)
    assert evaluate(asked, other, tmp_path, users=100, sample=70)[0].users == few[0].users
    assert [len(rows) for rows in one.asked] == [CHUNK, 70 - CHUNK]
    places = [int(user.removeprefix("u")) for user in few[0].users]
    assert places == sorted(places) and len(places) == 70 and max(places) < 100
    assert places != list(range(70))  # drawn, not the first
    rows = np.array(places)
    assert few[0].numbers("score").tolist() == [one.scores[row, asked.cases[row].target] for row in rows]


def test_a_sample_larger_than_the_users_is_all_of_them() -> None:
    assert asked_rows(5, sample=5).tolist() == asked_rows(5).tolist() == [0, 1, 2, 3, 4]
    assert asked_rows(5, users=3, sample=9).tolist() == [0, 1, 2]
