"""Everything that README and docs tell people to type is typed here, in a shop's folder, and what it leaves
behind is looked at: from a CSV to a server in four commands, and on from there when the data grows."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess
from threading import Thread
from time import sleep
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import torch
import typer
import uvicorn
from safetensors.torch import load_file
from typer.main import get_command

from app.cli.main import cli
from app.server import create_app
from app.web.service import open_service
from app.web.shelf import Shelf
from core.assembly import new_model
from core.data.registry import load_dataset
from core.encoder import TorchRouter
from core.errors import RecipeError, RunError
from core.prompt import Wording
from core.ranker import Ranker
from core.training.continuing import grown, lay_in, open_start
from core.training.finished import open_ranker, read_finished
from core.training.prepare import RECORD
from core.training.recipe import load_recipe
from core.training.run import open_backbone
from exports.bundle_check import read_info
from tests.command_line import ilora
from tests.conftest import REPOSITORY
from tests.core.training.conftest import shallow_folder
from tests.docs.reading import Told, told
from tests.own_data import QUICK, own_cache, set_, write_interactions
from tests.rounding import either

__all__ = ["shallow_folder"]

pytestmark = pytest.mark.timeout(1200)  # the first test waits for everything that is typed
SHOP = 60
"""Customers at first; ten more come."""
COMMANDS = told(REPOSITORY)
EXPORT = ["user;item;rating;timestamp"] + [
    f"reader{user};book{(user * 3 + n) % 40};{3 + (user + n) % 3};{1_300_000_000 + 1000 * user + n}"
    for user in range(12)
    for n in range(8)
]
BOOKS = ["id;title;genres", *(f"book{n};The Book {n};Crime|Poetry" for n in range(41))]


@dataclass(frozen=True)
class Shop:
    """Somebody's folder.

    Attributes:
        backbone: a shallow one, so that a run takes seconds.
        answers: of every documented command that was run in it, by its line.
    """

    folder: Path
    backbone: Path
    answers: dict[str, CompletedProcess[str]] = field(default_factory=dict)

    def run(self, told: Told) -> None:
        """Run one command as it is told, made tiny."""
        self.answers[told.line] = EXECUTIONS[told.kind](self, list(told.words))


def _as_it_is(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    return ilora(*words[1:])


def _import(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    return ilora(*words[1:], "--replace")


def _train(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    if "--from-bundle" in words:
        return ilora(*words[1:], *set_("run.max_steps=1"))
    if "--launch" in words:
        return _for_several(words)
    tiny = [*QUICK, f"model.backbone={shop.backbone}"]
    data = [] if "--dataset" in words else ["dataset=shop"]
    return ilora(*words[1:], *set_(*tiny, *data))


def _for_several(words: list[str]) -> CompletedProcess[str]:
    """Its recipe is read; test_several_processes.py starts such runs."""
    try:
        command = get_command(cli).commands["train"]  # type: ignore[attr-defined]
        given = command.make_context("train", words[2:]).params
        recipe = load_recipe(given["recipe"], given["set_"])
    except (typer.TyperException, RecipeError) as error:
        return CompletedProcess(words, 2, "", str(error))
    return CompletedProcess(words, 0 if recipe.run.processes == 2 else 2, "", "")


def _estimate(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    measured = set_(f"model.backbone={shop.backbone}", "dataset=shop", "optimizer.batch_size=8")
    micro = set_("optimizer.micro_batch=8")
    return ilora(*words[1:], *(measured + micro if "--measure" in words else []))


def _few(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    named = any(word.startswith("runs/") for word in words)
    return ilora(*words[1:], *(["--users", "3", "--no-baselines"] if named else []))


def _from_bundle(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    return ilora(*words[1:], *([] if "--bundle" in words else ["--bundle", "my-bundle"]))


def _read_only(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    """A server would not come back: its options are read by the command itself; one is started below."""
    try:
        get_command(cli).commands["serve"].make_context("serve", words[2:])  # type: ignore[attr-defined]
    except typer.TyperException as error:
        return CompletedProcess(words, 2, "", error.format_message())
    return CompletedProcess(words, 0, "", "")


def _study(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    return ilora(*words[1:], "--run", "runs/demo-cpu-ilora")


def _planned(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    return subprocess.run(
        ["make", "-n", *words[1:]], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )


def _later(shop: Shop, words: list[str]) -> CompletedProcess[str]:
    """What asks a server is run below, against one."""
    return CompletedProcess(words, 0, "", "")


EXECUTIONS: dict[str, Callable[[Shop, list[str]], CompletedProcess[str]]] = {
    "ilora data import": _import,
    "ilora data list": _as_it_is,
    "ilora data describe": _as_it_is,
    "ilora train": _train,
    "ilora estimate": _estimate,
    "ilora evaluate": _few,
    "ilora compare": _few,
    "ilora bundle": _as_it_is,
    "ilora runs": _as_it_is,
    "ilora study": _study,
    "ilora doctor": _as_it_is,
    "ilora recommend": _from_bundle,
    "ilora batch": _from_bundle,
    "ilora serve": _read_only,
    "make": _planned,
    "curl": _later,
}
"""How each kind of command is run here. A document that tells another kind needs a line of its own."""


def test_every_command_that_is_told_has_an_execution() -> None:
    assert [told.line for told in COMMANDS if told.kind not in EXECUTIONS] == []
    kinds = {told.kind for told in COMMANDS}
    assert set(EXECUTIONS) == kinds, "an execution that nothing tells of any more"
    assert {"README.md", "docs/teams.md", "docs/analysts.md"} <= {told.document for told in COMMANDS}


@pytest.fixture(scope="module")
def shop(shallow_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The folder of somebody who has typed everything that README and docs tell."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        movielens = load_dataset("movielens")
        patch.setenv("ILORA_CACHE", str(own_cache(folder / "cache")))
        patch.chdir(folder)
        write_interactions(movielens, folder / "shop.csv", range(SHOP))
        write_interactions(movielens, folder / "grown.csv", range(SHOP + 10), more=40)
        (folder / "interactions.csv").write_text("\n".join(EXPORT), encoding="utf-8")
        (folder / "items.csv").write_text("\n".join(BOOKS), encoding="utf-8")
        (folder / "new_items.csv").write_text("title\nFargo 2 (2030)\nHeat 2 (2031)\n", encoding="utf-8")
        histories = pa.table(
            {"user": ["ann", "bob"], "history": ["Fargo (1996)|Scream (1996)", "Fargo (1996)"]}
        )
        pq.write_table(histories, folder / "histories.parquet")
        pa_csv.write_csv(histories, folder / "histories.csv")
        made = Shop(folder, shallow_folder)
        for told in COMMANDS:
            if told.kind in EXECUTIONS:
                made.run(told)
        yield made


@pytest.mark.parametrize("told", COMMANDS, ids=lambda told: f"{told.document}: {told.line}"[:90])
def test_every_command_that_is_told_works(told: Told, shop: Shop) -> None:
    done = shop.answers[told.line]
    assert done.returncode == 0, f"{told.line}\n{done.stdout[-800:]}\n{done.stderr[-1500:]}"


def test_the_first_four_commands_each_name_the_next(shop: Shop) -> None:
    four = [told.line for told in COMMANDS if told.document == "docs/teams.md"][:4]
    assert [line.split()[1] for line in four] == ["data", "train", "bundle", "serve"]
    for line, following in pairwise(four):
        assert f"Next: {following}" in shop.answers[line].stdout


@pytest.fixture(scope="module")
def address(shop: Shop) -> Iterator[str]:
    """A server that answers from a bundle of one run."""
    service = open_service(Path("bundles/shop"), say=lambda _: None)
    assert service.recommender.adapters == ("base", "ilora")
    server = uvicorn.Server(uvicorn.Config(create_app(Shelf.of(service)), port=0, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("path", ["/health", "/", "/metrics", "/api/openapi.json"])
def test_the_page_and_the_interface_are_there(path: str, address: str) -> None:
    with urlopen(address + path, timeout=60) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "told", [told for told in COMMANDS if told.kind == "curl"], ids=lambda told: told.line
)
def test_what_is_asked_over_http_is_answered(told: Told, address: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on this machine")
    words = [word.replace("http://127.0.0.1:7860", address) for word in told.words]
    done = subprocess.run([*words, "--fail"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and json.loads(done.stdout)


def test_lists_of_one_method_are_held_against_nothing(address: str) -> None:
    asked = json.dumps({"history": ["Toy Story (1995)", "Fargo"]}).encode()
    request = Request(f"{address}/api/compare", asked, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        assert set(json.load(answer)["lists"]) == {"base", "ilora"}


def test_the_card_tells_of_ones_own_data_and_how_the_bundle_was_made(shop: Shop) -> None:
    card = (shop.folder / "bundles" / "shop" / "README.md").read_text(encoding="utf-8")
    assert "data set **shop**" in card and "GroupLens" not in card
    assert "- **data**: Imported from shop.csv; the terms of these files apply." in card
    assert "ilora bundle --ilora runs/shop-ilora --out bundles/shop" in card
    info = read_info(shop.folder / "bundles" / "shop")
    assert 1 <= info.adapters["ilora"].new_item_stretch <= 4


def test_whoever_names_no_adapter_is_answered_by_the_one_there_is_and_new_items_are_ranked(
    shop: Shop,
) -> None:
    (shop.folder / "new.csv").write_text("title\nFargo 2 (2030)\nHeat 2 (2031)\n")
    done = ilora(
        *("recommend", "Toy Story (1995)", "Fargo 2", "--bundle", "bundles/shop", "--k", "3"),
        *("--items", "new.csv", "--new-item", "Toy Story 2 (1999)"),
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "New, read by its words alone: Fargo 2 (2030).",
        "Heat 2 (2031) stands",
        "Toy Story 2 (1999) st",
    ):
        assert said in " ".join(done.stdout.split())


def test_a_run_that_goes_on_from_a_bundle_keeps_how_tokens_were_scaled(shop: Shop) -> None:
    run, before = (read_finished(shop.folder / "runs" / name) for name in ("shop-2-ilora", "shop-ilora"))
    assert run.prepared.features.scale == pytest.approx(before.prepared.features.scale_now)
    tensors = load_file("bundles/shop-2/projector.safetensors")
    assert float(tensors["items.scale"]) == pytest.approx(before.prepared.features.scale_now)
    listed = json.loads(ilora("runs", "--json").stdout)["runs"]
    assert {"shop-2-ilora", "shop-ilora"} <= {Path(run["folder"]).name for run in listed}
    assert not any("start" in run["folder"] for run in listed)


def test_a_bundle_does_not_go_on_into_another_runs_folder(shop: Shop) -> None:
    again = ilora("train", "--from-bundle", "bundles/shop", "--dataset", "shop", *set_("run.max_steps=1"))
    assert again.returncode == 2 and "holds another run already" in again.stderr
    absent = ilora("train", "--from-bundle", "bundles/shop", "--method", "lora")
    assert absent.returncode == 2 and "holds no lora; it holds: ilora" in absent.stderr


@pytest.mark.parametrize(("later", "new"), [("same", 0), ("shop-2", 42)])
def test_before_a_single_step_nobodys_scores_have_changed(later: str, new: int, shop: Shop) -> None:
    """The shop's weights over its own data set, and grown to one that came later."""
    if later == "same":
        again = ilora("data", "import", "shop.csv", "--kind", "film", "--name", "same", "--replace")
        assert again.returncode == 0
    run = read_finished(Path("runs/shop-ilora"))
    before, now = load_dataset("shop"), load_dataset(later)
    old, old_router = open_ranker(run, open_backbone(run.recipe), before)
    recipe = load_recipe("runs/shop-ilora/recipe.yaml", dataset=later)
    start = open_start(run.folder, now, recipe)
    assert start.new_items == new == now.num_items - before.num_items
    backbone = open_backbone(recipe)
    wording = Wording.of(backbone.tokenizer, now.catalog, now.domain)
    prepared = grown(start, now, recipe, backbone, wording)
    model = new_model(backbone, prepared.features, recipe)
    lay_in(start, model, prepared, "ilora")
    ranker = Ranker(model, wording, recipe.rows.history_length, prepared.title_prior)
    router = TorchRouter(prepared.encoder, model.gate_of("ilora"))

    had = [sequence[:10] for sequence in before.sequences[:20]]
    place = [now.catalog.index_of(item.item_id) for item in before.catalog.items]
    moved = [[place[item] for item in history] for history in had]
    assert (moved == [list(history) for history in had]) == (new == 0)
    was, routed = old_router.route(had), router.route(moved)
    torch.testing.assert_close(torch.from_numpy(routed.gate), torch.from_numpy(was.gate))
    rounding = either(backbone.compute_dtype == torch.bfloat16, fp32=1e-5, bf16=0.05)
    # Items that were held out then and are trained on now are learned of for the first time.
    still = run.prepared.features.known | ~prepared.features.known[place]
    assert bool(still.all()) == (new == 0) and int(still.sum()) > 150
    for expected, found in (
        (torch.from_numpy(was.scores), torch.from_numpy(routed.scores)),
        (old.score(was, had), ranker.score(routed, moved)),
    ):
        torch.testing.assert_close(found[:, place][:, still], expected[:, still], rtol=0, atol=rounding)


def test_a_data_set_that_would_ask_what_was_taught_is_refused(shop: Shop) -> None:
    """The same customers with their histories turned round: what was first is asked now."""
    header, *rows = (shop.folder / "shop.csv").read_text(encoding="utf-8").splitlines()
    (shop.folder / "turned.csv").write_text("\n".join([header, *reversed(rows)]), encoding="utf-8")
    done = ilora(
        *("data", "import", "turned.csv", "--kind", "film", "--name", "turned", "--time-column", "none")
    )
    assert done.returncode == 0, done.stderr
    recipe = load_recipe("runs/shop-ilora/recipe.yaml", dataset="turned")
    with pytest.raises(RunError, match="would be asked about what runs/shop-ilora was trained on"):
        open_start(Path("runs/shop-ilora"), load_dataset("turned"), recipe)


def test_a_data_set_replaced_under_its_old_name_is_refused(shop: Shop) -> None:
    recipe = load_recipe("runs/shop-ilora/recipe.yaml", dataset="shop")
    other = replace(load_dataset("shop-2"), name="shop")
    with pytest.raises(RunError, match="import what has grown under a name of its own"):
        open_start(Path("runs/shop-ilora"), other, recipe)


def test_a_run_refused_before_its_first_number_leaves_nothing_in_the_way(shop: Shop) -> None:
    rows = [f"{user},book{(user + n) % 22},Book {(user + n) % 22}" for user in range(6) for n in range(8)]
    (shop.folder / "few.csv").write_text("\n".join(["user,item,title", *rows]), encoding="utf-8")
    assert "bring more items" in " ".join(ilora("data", "import", "few.csv").stdout.split())
    for _ in range(2):
        refused = ilora("train", "--dataset", "few", *set_(*QUICK, f"model.backbone={shop.backbone}"))
        assert refused.returncode == 2 and "leaves only 5 unseen items" in refused.stderr
    assert not (shop.folder / "runs" / "few-ilora" / RECORD).exists()


def test_every_row_of_the_fault_table_names_a_test_that_is_there(repository: Path) -> None:
    text = (repository / "docs" / "teams.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| `(test_\w+)` \|$", text, flags=re.MULTILINE)
    there = {
        name
        for path in (repository / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert len(rows) >= 6 and [name for name in rows if name not in there] == []
