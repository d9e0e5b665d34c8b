"""`ilora bundle`: finished runs become a portable, measured bundle."""

from pathlib import Path
from typing import Annotated

import typer


def bundle(
    ilora: Annotated[Path, typer.Option(help="Finished run folder of iLoRA.")],
    lora: Annotated[Path, typer.Option(help="Finished run folder of LoRA, same recipe and seed.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle; replaced when it is there.")],
    ilora_head: Annotated[Path | None, typer.Option(help="Run that trained iLoRA's second stage.")] = None,
    lora_head: Annotated[Path | None, typer.Option(help="Run that trained LoRA's second stage.")] = None,
    paper_ilora: Annotated[
        Path | None, typer.Option(help="iLoRA run on the published split, to be measured.")
    ] = None,
    paper_lora: Annotated[
        Path | None, typer.Option(help="LoRA run on the published split, to be measured.")
    ] = None,
) -> None:
    """Export the router to ONNX, pack both adapters, measure them as they are served, write the card."""
    from core.errors import RunError

    if (paper_ilora is None) != (paper_lora is None):
        raise RunError("Give both --paper-ilora and --paper-lora, or neither: one alone cannot be compared.")

    from app.cli.steps_bar import StepsBar
    from exports.build import build_bundle
    from exports.bundle_info import Adapter
    from quant.devices import devices

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
        info = build_bundle(
            out, {"lora": lora, "ilora": ilora}, paper, heads, "make bundle", machine, bar.step
        )
    size = sum(file.size for file in info.files.values()) / 1e6
    typer.echo(f"{out}: {len(info.files)} files, {size:.1f} MB, verified.")
    for row in info.metrics.rows:
        typer.echo(
            f"{row.split:6s} {row.method:16s} HR@1 {row.hr1:.3f} [{row.hr1_low:.3f}, {row.hr1_high:.3f}]  "
            f"NDCG@10 full {row.ndcg10:.4f}  n = {row.n}"
        )


def unbundle(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="Where the run folders go.")] = Path("runs"),
) -> None:
    """Unpack a bundle into finished run folders, one per adapter: to train on from, or to evaluate."""
    from exports.bundle_to_runs import runs_from_bundle

    for folder in runs_from_bundle(bundle, out).values():
        typer.echo(folder)
