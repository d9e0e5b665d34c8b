"""`ilora bundle`: finished runs become a portable, measured bundle."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from exports.bundle_check import MAKE_COMMAND

if TYPE_CHECKING:
    from exports.bundle_info import Adapter


def bundle(
    ilora: Annotated[
        Path | None, typer.Option(help="Finished run folder of iLoRA.", show_default="none")
    ] = None,
    lora: Annotated[
        Path | None,
        typer.Option(
            help="Finished run folder of LoRA, same recipe and seed: to compare with.", show_default="none"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the bundle; replaced when it is there.", show_default="bundles/DATASET"),
    ] = None,
    ilora_head: Annotated[Path | None, typer.Option(help="Run that trained iLoRA's second stage.")] = None,
    lora_head: Annotated[Path | None, typer.Option(help="Run that trained LoRA's second stage.")] = None,
    paper_ilora: Annotated[
        Path | None, typer.Option(help="iLoRA run on the published split, to be measured.")
    ] = None,
    paper_lora: Annotated[
        Path | None, typer.Option(help="LoRA run on the published split, to be measured.")
    ] = None,
    small: Annotated[
        bool,
        typer.Option(
            "--small",
            help="Adapters in eight bits, item spaces in half precision: half the size, read by ilora alone.",
        ),
    ] = False,
) -> None:
    """Export the router to ONNX, pack the adapters, measure them as they are served, write the card.

    One run is enough; with both methods the page compares them.
    """
    from core.errors import RunError
    from core.training.finished import read_recipe

    given: dict[str, Path] = {
        name: run for name, run in (("lora", lora), ("ilora", ilora)) if run is not None
    }
    if not given:
        raise RunError("Name a finished run: --ilora RUN, or --lora RUN, or both.")

    if (paper_ilora is None) != (paper_lora is None):
        raise RunError("Give both --paper-ilora and --paper-lora, or neither: one alone cannot be compared.")

    from app.cli.steps_bar import StepsBar
    from exports.build import build_bundle
    from quant.devices import devices

    runs = cast("dict[Adapter, Path]", given)
    if out is None:
        out = Path("bundles") / Path(read_recipe(next(iter(runs.values()))).dataset).name
    machine = f"{devices().cores} cores, {devices().cpu}"
    paper: dict[Adapter, Path] = (
        {} if paper_ilora is None or paper_lora is None else {"lora": paper_lora, "ilora": paper_ilora}
    )
    heads: dict[Adapter, Path] = {}
    if lora_head is not None:
        heads["lora"] = lora_head
    if ilora_head is not None:
        heads["ilora"] = ilora_head
    with StepsBar() as bar:
        info = build_bundle(out, runs, paper, heads, _command(out, runs, small), machine, bar.step, small)
    size = sum(file.size for file in info.files.values()) / 1e6
    typer.echo(f"{out}: {len(info.files)} files, {size:.1f} MB, verified.")
    for row in info.metrics.rows:
        typer.echo(
            f"{row.split:6s} {row.method:16s} HR@1 {row.hr1:.3f} [{row.hr1_low:.3f}, {row.hr1_high:.3f}]  "
            f"NDCG@10 full {row.ndcg10:.4f}  n = {row.n}"
        )
    typer.echo(f"Next: ilora serve --bundle {out}")


def _command(out: Path, runs: "dict[Adapter, Path]", small: bool) -> str:
    """What makes such a bundle again, for the model card."""
    from exports.bundle_info import DEFAULT_BUNDLE

    if out.resolve() == DEFAULT_BUNDLE.resolve():
        return MAKE_COMMAND
    named = [part for name, run in runs.items() for part in (f"--{name}", str(run))]
    return shlex.join(["ilora", "bundle", *named, "--out", str(out), *(["--small"] if small else [])])


def unbundle(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="Where the run folders go.")] = Path("runs"),
) -> None:
    """Unpack a bundle into finished run folders, one per adapter: to train on from, or to evaluate."""
    from exports.bundle_to_runs import runs_from_bundle

    for folder in runs_from_bundle(bundle, out).values():
        typer.echo(folder)
