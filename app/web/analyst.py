"""The tab "Analyst": a file of histories in, a table of lists out, by the engine of `ilora batch`."""

import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from time import monotonic

import gradio as gr
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.web.analysed import SHOWN_PEOPLE, Preview, empty, preview, progress, report
from app.web.charts import ADAPTER_NAMES
from app.web.history import message
from app.web.service import Service
from app.web.tab import AT_ONCE, Shared
from app.web.theme import piece
from app.web.visit import Visit
from core.batch.people import People
from core.batch.reading import read_histories
from core.batch.report import ReadReport
from core.batch.run import Job, finish, open_parts, score_people
from core.errors import DataError
from core.ranking_model import BASE
from core.recommendation import AdapterName
from quant.errors import IloraError

NAME, LABEL = "analyst", "Analyst"
KINDS = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
MOST_PEOPLE = 2_000
"""More of them take the better part of an hour on two cores; `ilora batch` has no limit."""
MOST_UNPACKED = 64 << 20
"""Bytes that an uploaded Parquet file may have unpacked: a small one can hold very much."""
ROWS_AT_ONCE = 1_000
SHARD = 8
"""People in one turn of the model: nobody else waits longer than that."""
LENGTHS = (5, 10, 20)
AT_WORK: dict = {
    "concurrency_id": "batch",
    "concurrency_limit": 1,
    # "once" would drop the press after a stop, as long as the browser has not heard of the end.
    "trigger_mode": "multiple",
    "show_progress": "hidden",
    "api_visibility": "private",
}


def read_upload(service: Service, path: Path) -> tuple[People, ReadReport]:
    """An uploaded file as people and a report. Raises DataError where it is none, or too large."""
    if path.suffix.lower() not in KINDS:
        raise DataError(f"{path.name} is no {', '.join(KINDS)} file: save the table as one of these.")
    with path.open("rb") as raw:
        head = raw.read(4)
    if head[:2] == b"\x1f\x8b":
        raise DataError(f"{path.name} is packed: unpack it first.")
    if head == b"PAR1":
        groups = pq.read_metadata(path)
        size = sum(groups.row_group(number).total_byte_size for number in range(groups.num_row_groups))
        if size > MOST_UNPACKED:
            raise DataError(f"{path.name} unpacks to more than {MOST_UNPACKED >> 20} MB: use `ilora batch`.")
    return read_histories(path, service.catalog, most=MOST_PEOPLE, size=ROWS_AT_ONCE)


def look(table_path: Path, adapters: tuple[AdapterName, ...], k: int) -> Preview:
    """What is shown of a finished table."""
    table = pq.read_table(table_path)
    gates = [gate for gate in table["gate"].to_pylist() if gate]
    leaders = [0] * (len(gates[0]) if gates else 0)
    for gate in gates:
        leaders[gate.index(max(gate))] += 1
    both = "overlap_ilora_lora" if "overlap_ilora_lora" in table.column_names else None
    overlap = pc.mean(table[both]).as_py() if both else None
    rows = tuple(table.slice(0, SHOWN_PEOPLE).to_pylist())
    return Preview(rows, table.num_rows, len(gates), tuple(leaders), overlap, k)


def first(service: Service, visit: Visit) -> str:
    """What stands there before a file is brought."""
    return empty(service.domain)


def build(service: Service, shared: Shared, visit: Visit, opens_with: str) -> None:
    """Lay out the tab and connect it."""
    order: tuple[AdapterName, ...] = ("ilora", "lora", "base")
    there = [(ADAPTER_NAMES[name], name) for name in order if name in service.recommender.adapters]
    trained = [name for _, name in there if name != BASE]
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=2, min_width=320, elem_classes="side"):
            file = gr.UploadButton(
                "Choose a file of histories",
                file_types=list(KINDS),
                variant="secondary",
                elem_id="histories-file",
            )
            piece(
                f'<p class="fine">At most 5 MB and {MOST_PEOPLE:,} people. It is deleted once it is read, '
                "the tables within two hours; nobody else can see them.</p>",
                elem_id="upload-note",
            )
            chosen = gr.CheckboxGroup(there, value=trained, label="Whose lists", elem_id="batch-adapters")
            length = gr.Radio(
                list(LENGTHS),
                value=10,
                label=f"{service.domain.many.capitalize()} per list",
                elem_id="batch-length",
            )
            with gr.Row():
                start = gr.Button("Make the lists", variant="primary", size="sm", interactive=False)
                stop = gr.Button("Stop", size="sm")
            piece(
                f'<p class="fine">Base reads 20 {service.domain.many} for each person: many times '
                "slower.</p>",
                "batch-note",
            )
        with gr.Column(scale=3, min_width=320):
            told = piece(opens_with, elem_id="batch-report")
            running = piece("", elem_id="batch-running")
            table = piece("", elem_id="batch-table")
            with gr.Row(visible=False, elem_id="batch-downloads") as downloads:
                as_parquet = gr.DownloadButton("Download Parquet", size="sm")
                as_csv = gr.DownloadButton("Download CSV", size="sm")
    people = gr.State(None, time_to_live=4 * 3600)
    hidden = gr.update(visible=False)

    def on_file(uploaded: str | None) -> tuple[object, ...]:
        if uploaded is None:
            return (gr.skip(),) * 6
        path = Path(uploaded)
        try:
            read, found = read_upload(service, path)
        except IloraError as error:
            said = message(escape(str(error).replace(f"{path.parent}/", "")))
            return None, said + empty(service.domain), "", "", hidden, gr.update(interactive=False)
        finally:
            path.unlink(missing_ok=True)
        return read, report(found, service.domain), "", "", hidden, gr.update(interactive=True)

    def run(read: People | None, names: list[str], k: int) -> Iterator[tuple[object, ...]]:
        adapters = tuple(name for name in order if name in names and name in service.recommender.adapters)
        nothing = (gr.skip(),) * 4
        if read is None or not adapters or k not in LENGTHS:
            yield message("Bring a file and choose at least one method first."), *nothing
            return
        job, began = Job(adapters, int(k), SHARD), monotonic()
        yield progress(0, len(read), 0, "Waiting for the model."), "", hidden, gr.skip(), gr.skip()
        # Gradio copies what is downloaded into its own cache, which it empties; the folder goes at once.
        with tempfile.TemporaryDirectory(prefix="ilora-batch-") as name:
            folder = Path(name)
            done, parts = open_parts(read, job, "", folder / "parts"), folder / "parts"
            try:
                shards = score_people(service.recommender, read, job, parts, done)
                for done in service.at_leisure(shards):
                    yield progress(done, len(read), monotonic() - began, "Stop at any time."), *nothing
            except IloraError as error:
                yield progress(done, len(read), 0, str(error)), *nothing
                return
            tables = [folder / "lists.parquet", folder / "lists.csv"]
            for out in tables:
                finish(job, parts, out, keep=True)
            shown = preview(service.domain, look(tables[0], adapters, job.k), adapters)
            yield progress(done, len(read), 0, "Done."), shown, gr.update(visible=True), *map(str, tables)

    results = [running, table, downloads, as_parquet, as_csv]
    file.upload(on_file, file, [people, told, running, table, downloads, start], **AT_ONCE)
    at_work = start.click(run, [people, chosen, length], results, **AT_WORK)
    # In two steps: in one, Gradio would cancel only when the word is there, and more could come in between.
    stop.click(None, cancels=[at_work], queue=False).then(
        lambda: message("Stopped. Nothing was kept."), None, running, **AT_ONCE
    )
