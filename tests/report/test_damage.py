"""Runs whose files anybody may have written: what is damaged is listed with the reason, and nothing is raised."""

import copy
import io
import json
import math
import os
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from src.report import escape, find, tables
from src.report.compare import compare
from src.report.findings import findings
from src.report.groups import sections_of
from src.report.read import find_runs, read_run
from src.report.rules import rule
from src.report.write import find_baseline, told, write_report
from tests.report.fabricated import CE, FOCAL, ablation_of, finished
from tests.report.test_read import sweep

ODD: tuple[Any, ...] = (
    *(None, True, -1, 10**400, 2**70, math.inf, math.nan, 1e308, "", "\x1b[31m\u202e|`", [], {}, [1, [2]]),
    {"a": {"b": None}},
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*at, key))


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    value = copy.deepcopy(value)
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = new
    return value


def test_a_file_with_any_odd_value_is_read_or_listed(tmp_path: Path) -> None:
    """Each value of result.json and config.yaml becomes an odd one: 300 of all such changes, drawn by a fixed seed."""
    run = finished(tmp_path, CE, 0, n=50)
    good = {name: (run / name).read_text() for name in ("result.json", "config.yaml")}
    values = {"result.json": json.loads(good["result.json"]), "config.yaml": yaml.safe_load(good["config.yaml"])}
    changes = [(name, at, odd) for name, value in values.items() for at in places(value) for odd in ODD]
    found = set()
    for name, at, odd in random.Random(0).sample(changes, 300):
        value = changed(values[name], at, odd)
        (run / name).write_text(json.dumps(value) if name == "result.json" else yaml.safe_dump(value))
        (read,) = find_runs([tmp_path])
        sections_of([read])
        found.add(read.status)
        assert read.status == "finished" or read.note
        (run / name).write_text(good[name])
    assert found == {"finished", "damaged"}


def test_a_family_with_any_odd_value_is_damaged_or_can_be_compared(tmp_path: Path) -> None:
    """Each value of the family becomes an odd one: 150 of all such changes, drawn by a fixed seed."""
    ablation_of(tmp_path, [CE, FOCAL], range(3), n=50)
    run = next(tmp_path.glob("ce-*/seed2"))
    good = json.loads((run / "result.json").read_text())
    others = [read_run(path) for path in tmp_path.glob("*/seed*") if path != run]
    changes = [(at, odd) for at in places(good["family"]) for odd in ODD]
    found = set()
    for at, odd in random.Random(1).sample(changes, 150):
        (run / "result.json").write_text(json.dumps(good | {"family": changed(good["family"], at, odd)}))
        read = read_run(run)
        found.add(read.status)
        if read.status == "damaged":
            assert read.note.startswith(("result.json: family", "predictions.npz: ", "result.json: metrics."))
            assert len(read.note) < 300
            continue
        for section in sections_of([*others, read]):
            comparison = compare(section, find_baseline(section, None))
            findings(comparison), rule(comparison), tables.results(comparison), tables.other_metrics(comparison)
    assert found == {"finished", "damaged"}


@pytest.mark.parametrize(
    ("name", "at", "odd", "reason"),
    [
        ("result.json", ("metrics", "test", "accuracy"), [1], "metrics.test.accuracy should be a number, not list"),
        ("result.json", ("metrics", "test", "accuracy"), 7, "metrics.test.accuracy should be from -1e-06 to 1"),
        ("result.json", ("metrics", "test"), "good", "metrics.test should be a mapping, not 'good'"),
        ("result.json", ("bins", "test", "count"), [1, 2], "bins.test.count should be a list of 15, not list"),
        ("result.json", ("status",), "done", "status should be one of running, interrupted, failed, finished"),
        ("result.json", ("family", "keeps"), "luck", "family: the family classification has no column 'luck'"),
        ("config.yaml", ("seed",), "one", "seed should be a whole number from 0, not 'one'"),
        ("config.yaml", ("choices",), None, "choices should be a mapping, not None"),
        ("config.yaml", ("facts", "input_shape"), [], "facts.input_shape should be a list of at least 1"),
    ],
)
def test_the_reason_names_the_key(name: str, at: tuple[Any, ...], odd: Any, reason: str, tmp_path: Path) -> None:
    run = finished(tmp_path, CE, 0, n=50)
    load: Any = json.loads if name == "result.json" else yaml.safe_load
    (run / name).write_text(json.dumps(changed(load((run / name).read_text()), at, odd)))
    read = read_run(run)
    assert read.status == "damaged"
    assert read.note.startswith(f"{name}: {reason}")


def damaged_files(run: Path) -> Iterator[str]:
    """Does damage, and undoes it; yields what the reason must hold."""
    for name in ("result.json", "config.yaml", "metrics.csv", "predictions.npz"):
        good = (run / name).read_bytes()
        (run / name).unlink()
        os.mkfifo(run / name)
        yield f"{name}: it is no regular file"
        (run / name).unlink()
        (run / name).write_bytes(good)
    good = (run / "predictions.npz").read_bytes()
    for place in (good.index(name) + 90 for name in (b"targets.npy", b"nll.npy")):
        (run / "predictions.npz").write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        yield "predictions.npz: "
    for content in (b"", b"PK", good[:1000], np.arange(5).tobytes()):
        (run / "predictions.npz").write_bytes(content)
        yield "predictions.npz: "
    with np.load(io.BytesIO(good)) as file:
        arrays = dict(file)
    for change in (
        {"targets": arrays["targets"][:-1]},
        {"targets": arrays["targets"].astype(object)},
        {"targets": arrays["targets"].astype(str)},
        {"nll": arrays["nll"] * 2},
        {"nll": np.full_like(arrays["nll"], np.nan)},
        {"nll": arrays["nll"][:, None]},
        {"accuracy": arrays["accuracy"] + 1},
        {"confidence": arrays["confidence"] * 0.5},
        {"confidence_ts": arrays["confidence_ts"] - 1},
    ):
        np.savez(run / "predictions.npz", **arrays | change)
        yield "predictions.npz: "
    (run / "predictions.npz").write_bytes(huge(good))
    yield "predictions.npz: an array of the shape (1000000000000,)"
    (run / "predictions.npz").write_bytes(good)
    rows = (run / "metrics.csv").read_bytes()
    for row in (b"1,0,64,val/nll\n", b"x,0,64,val/nll,1\n", b"1,0,64,val/nll,one\n", b"1,0,64,val/<b>,1\n", b"\0\0\n"):
        (run / "metrics.csv").write_bytes(rows + row)
        yield "metrics.csv: "
    (run / "metrics.csv").write_bytes(rows)
    text = (run / "config.yaml").read_bytes()
    odd = b"odd: !!python/name:os.system\n"
    for more in (b"\xff\n", b"a: &a [1]\nb: *a\n", b"seed: 1\n", odd, b"deep: " + b"[" * 99):
        (run / "config.yaml").write_bytes(text + more)
        yield "config.yaml: "
    (run / "config.yaml").write_bytes(text)


def huge(good: bytes) -> bytes:
    """Targets whose header promises a million million numbers."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(file, "w") as new:
        new.writestr("nll.npy", old.read("nll.npy"))
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
        new.writestr("targets.npy", header.getvalue())
    return file.getvalue()


def test_damage_of_every_kind_is_listed_and_the_others_are_compared(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, FOCAL], range(2), n=50)
    run = next(tmp_path.glob("ce-*/seed0"))
    for reason in damaged_files(run):
        states = {read.folder: (read.status, read.note) for read in find_runs([tmp_path])}
        assert states.pop(run)[0] == "damaged", reason
        assert [status for status, _ in states.values()] == ["finished"] * 3
        assert reason in read_run(run).note
    assert read_run(run).status == "finished"


def test_a_sweep_that_is_no_text_is_listed(tmp_path: Path) -> None:
    finished(tmp_path, CE, 0, n=50)
    for content in (b"\xff\xfe\x00", b"jobs: 3", b"jobs: [{label: a}]", b"a: &a [*a]", b"jobs: []\nbaseline: [1]"):
        (tmp_path / "sweep.yaml").write_bytes(content)
        assert [run.status for run in find_runs([tmp_path])] == ["finished", "damaged"]


def test_links_count_once_and_loops_end(tmp_path: Path) -> None:
    elsewhere = finished(tmp_path / "elsewhere", CE, 0, n=50)
    runs = tmp_path / "runs"
    own = finished(runs, CE, 1, n=50)
    (runs / "a_link").symlink_to(elsewhere)
    (runs / "another").symlink_to(elsewhere.parent)
    (runs / "loop").symlink_to(runs)
    (own.parent / "up").symlink_to(tmp_path)
    (runs / "gone").symlink_to(tmp_path / "nowhere")
    found = find_runs([runs])
    assert [run.status for run in found] == ["finished"] * 2
    assert own in [run.folder for run in found], "by its own name"
    (section,) = sections_of(found)
    assert [sorted(group.finished) for group in section.groups] == [[0, 1]]


def test_folders_without_end_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path, CE, 0, n=50)
    deep = tmp_path.joinpath(*["d"] * (find.DEEPEST + 1))
    deep.mkdir(parents=True)
    assert [run.status for run in find_runs([tmp_path])] == ["finished", "damaged"]
    monkeypatch.setattr(find, "MOST", 5)
    with pytest.raises(Exception, match=r"more than 5 folders in .*: name those of the runs"):
        find_runs([tmp_path])


def test_moved_data_are_one_question(tmp_path: Path) -> None:
    for place, (kind, seed) in enumerate(((CE, 0), (CE, 1), (FOCAL, 0))):
        path = finished(tmp_path, kind, seed, n=50) / "config.yaml"
        config = yaml.safe_load(path.read_text())
        config["data"] |= {"root": f"/data/{place}", "resident": "host"}
        path.write_text(yaml.safe_dump(config, sort_keys=False))
    (section,) = sections_of(find_runs([tmp_path]))
    assert [sorted(group.finished) for group in section.groups] == [[0, 1], [0]]
    config["identity_facts"]["fingerprint"] = "1" * 64  # the same place, other content
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    titles = [section.title for section in sections_of(find_runs([tmp_path]))]
    assert sorted(titles) == ["mnist_5k · mlp · data 00000000", "mnist_5k · mlp · data 11111111"]


def test_runs_with_two_judges_are_two_questions(tmp_path: Path) -> None:
    """Wherever the judges lie: what counts is the hash of their weights."""
    judges = (("a" * 64, CE, 0), ("a" * 64, FOCAL, 0), ("b" * 64, CE, 1))
    for place, (judge, kind, seed) in enumerate(judges):
        path = finished(tmp_path / str(place), kind, seed, n=50) / "config.yaml"
        config = yaml.safe_load(path.read_text()) | {"judge": f"/runs/{place}"}
        config["identity_facts"]["judge"] = judge
        config["identity"] += judge[0]
        path.write_text(yaml.safe_dump(config, sort_keys=False))
    sections = sections_of(find_runs([tmp_path]))
    assert sorted(sorted(group.label for group in section.groups) for section in sections) == [["ce"], ["ce", "focal"]]
    titles = sorted(section.title for section in sections)
    assert titles == [f"mnist_5k · mlp · data 00000000 · judge {letter * 8}" for letter in "ab"]


EVIL = "\x1b]0;owned\x07\x1b[2J\u202e<script>alert(1)</script>|[x](javascript:y)![i](http://evil/)`*_\n# heading\n=1+1"


def test_names_and_errors_say_what_they_say_and_do_nothing(tmp_path: Path) -> None:
    runs = ablation_of(tmp_path, [CE, FOCAL], [0], n=50)
    paths = sorted(tmp_path.glob("*/seed0"))
    sweep(runs, [(EVIL, 0, paths[0]), ("=HYPERLINK(1)", 0, paths[1]), ("..", 1, None)], EVIL)
    listing = yaml.safe_load((runs / "sweep.yaml").read_text())
    listing["command"] = "python train.py ablation=a; rm -rf $HOME"
    (runs / "sweep.yaml").write_text(yaml.safe_dump(listing))
    written = write_report([tmp_path], None, tmp_path / "out")
    lines = [escape.line(text) for text in told(written)]
    for text in lines:
        assert text.isprintable()
    assert any("python train.py 'ablation=a;' rm -rf '$HOME'" in text for text in lines)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<script") == 1 and "\x1b" not in page and "\u202e" not in page, "its own script alone"
    markdown = (tmp_path / "out" / "report.md").read_text()
    for bad in ("\x1b", "\u202e", "<script", "](javascript", "](http", "\n# heading"):
        assert bad not in markdown
    table = (tmp_path / "out" / "report.csv").read_text()
    assert "'=HYPERLINK(1)" in table and ",=HYPERLINK" not in table and "\x1b" not in table


def test_tensorboard_folders_stay_inside_and_spare_what_is_not_theirs(tmp_path: Path) -> None:
    runs = ablation_of(tmp_path / "runs", [CE, FOCAL], [0], n=50)
    paths = sorted(runs.glob("*/seed0"))
    sweep(runs, [("..", 0, paths[0]), ("a b", 0, paths[1])], "..")
    other = tmp_path / "means" / "mine" / "notes.txt"
    other.parent.mkdir(parents=True)
    other.write_text("kept")
    for _ in range(2):
        write_report([runs], None, tmp_path / "out", tmp_path / "means")
        assert sorted(path.name for path in (tmp_path / "means").iterdir()) == ["_", "a_b", "mine"]
    assert other.read_text() == "kept"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("report.csv", "report.html", "report.md"),
    ]
