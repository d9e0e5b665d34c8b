"""Curves are what was logged, grow while another process writes, and follow a resumed run."""

from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from core.training.curves import MOST_POINTS, CurveReader


def _log(writer: EventFileWriter, tag: str, step: int, value: float) -> None:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    writer.add_event(Event(wall_time=1e9 + step, step=step, summary=summary))


def test_a_curve_grows_between_two_looks(tmp_path: Path) -> None:
    reader = CurveReader()
    assert reader.read(tmp_path) == {}
    writer = EventFileWriter(str(tmp_path / "runs" / "a"))
    _log(writer, "train/loss", 1, 7.5)
    writer.flush()
    assert reader.read(tmp_path)["train/loss"].values == (7.5,)
    _log(writer, "train/loss", 2, 6.5)
    _log(writer, "eval/hr1", 2, 0.25)
    writer.flush()
    read = reader.read(tmp_path)
    assert read["train/loss"].steps == (1, 2) and read["train/loss"].values == (7.5, 6.5)
    assert read["eval/hr1"].values == (0.25,)
    writer.close()


def test_a_resumed_session_replaces_what_it_did_again(tmp_path: Path) -> None:
    for session, logged in (("Nov01", [(1, 9.0), (2, 8.0), (3, 7.0)]), ("Nov02", [(2, 5.0), (4, 4.0)])):
        writer = EventFileWriter(str(tmp_path / "runs" / session))
        for step, value in logged:
            _log(writer, "train/loss", step, value)
        writer.close()
    curve = CurveReader().read(tmp_path)["train/loss"]
    assert curve.steps == (1, 2, 4) and curve.values == (9.0, 5.0, 4.0)


def test_long_curves_are_sampled_and_keep_their_end(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path))
    for step in range(MOST_POINTS + 500):
        _log(writer, "train/loss", step, float(step))
    writer.close()
    curve = CurveReader().read(tmp_path)["train/loss"]
    assert len(curve.steps) == MOST_POINTS and curve.steps[-1] == MOST_POINTS + 499
    assert curve.values[-1] == pytest.approx(MOST_POINTS + 499)
