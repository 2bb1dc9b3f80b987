"""TensorBoard runs of the mean and the band of each loss, with a chart that shows the band."""

import contextlib
import itertools
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .figures import Curve

EVENTS = "events.out.tfevents.{}.report"


def write_margins(folder: Path, curves: Mapping[str, Mapping[str, Curve]], first: Sequence[str]) -> None:
    """Write ``folder/<label>``: label -> tag -> curve; the tags of ``first`` are the first charts. The mean has the tag
    itself, so that it lies over the runs' own curves; tag_low and tag_high are the lowest and the highest seed."""
    for old in folder.glob(f"*/{EVENTS.format('*')}"):  # of the last report; what else lies there is somebody's
        old.unlink()
        with contextlib.suppress(OSError):
            old.parent.rmdir()
    names: set[str] = set()
    for label, by_tag in curves.items():
        if by_tag:
            plain = re.sub(r"[^\w.+=-]+", "_", label)[:100].lstrip(".") or "_"
            numbered = (f"{plain}_{i}" for i in itertools.count(2))
            name = next(n for n in itertools.chain([plain], numbered) if n.lower() not in names)
            names.add(name.lower())
            write_run(folder / name, by_tag, first)


def write_run(folder: Path, curves: Mapping[str, Curve], first: Sequence[str]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    with (folder / EVENTS.format(int(now))).open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        order = [*(tag for tag in first if tag in curves), *sorted(set(curves) - set(first))]
        writer.write(Event(wall_time=now, summary=layout(order)).SerializeToString())
        for tag, curve in sorted(curves.items()):
            for suffix, values in (("", curve.mean), ("_low", curve.low), ("_high", curve.high)):
                for step, value in zip(curve.steps, values, strict=True):
                    one = Summary(value=[Summary.Value(tag=tag + suffix, simple_value=value)])
                    writer.write(Event(wall_time=now, step=step, summary=one).SerializeToString())


def layout(tags: list[str]) -> object:
    """The "custom scalars" tab: a chart with a margin for each tag, in this order."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    charts = []
    for tag in tags:
        series = layout_pb2.MarginChartContent.Series(value=tag, lower=f"{tag}_low", upper=f"{tag}_high")
        charts.append(layout_pb2.Chart(title=tag, margin=layout_pb2.MarginChartContent(series=[series])))
    category = layout_pb2.Category(title="mean over seeds, lowest to highest", chart=charts)
    content = make_tensor_proto(layout_pb2.Layout(category=[category]).SerializeToString())
    value = Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, metadata=metadata.create_summary_metadata(), tensor=content)
    return Summary(value=[value])
