"""The simulator of Ali-CCP against a slow and obvious reading of what it wrote."""

import gzip
import math
import re
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from tests.examples.scripts import loaded

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "aliccp" / "simulate.py"
SAMPLE = SCRIPT.parent / "sample"
SPLITS = ("train", "test")
RAW = [f"{kind}_{split}.csv" for kind in ("common_features", "sample_skeleton") for split in SPLITS]
TEXTS = [*RAW, "README.txt"]
COMMON = {
    "101", "109_14", "110_14", "121", "122", "124", "125", "126", "127", "127_14", "128", "129", "150_14",
}  # fmt: skip
SKELETON = {"205", "206", "207", "210", "216", "301", "508", "509", "702", "853"}
LISTS = {"109_14", "110_14", "127_14", "150_14", "210", "853"}
COUNTS = {"109_14", "110_14", "127_14", "508", "509", "702"}  # valued ln(1 + n)
TWELFTHS = {"150_14", "853"}  # valued ln(1 + k / 12)
TOGETHER = {"121", "122", "124", "125", "127", "128"}
# Ids seen in the real files; a field's block must hold them and reach no further than the next field's.
SEEN = {
    "101": (16, 444_851), "109_14": (449_089, 451_423), "110_14": (788_270, 2_826_366), "121": (3_438_658, 3_438_754),
    "122": (3_438_755, 3_438_767), "124": (3_438_768, 3_438_769), "125": (3_438_770, 3_438_776),
    "126": (3_438_777, 3_438_779), "127": (3_438_780, 3_438_782), "127_14": (3_452_748, 3_858_194),
    "128": (3_864_885, 3_864_886), "129": (3_864_887, 3_864_890), "150_14": (3_867_359, 3_963_168),
    "205": (3_967_652, 8_312_887), "206": (8_314_904, 8_317_499), "207": (8_702_354, 8_987_328),
    "210": (9_029_962, 9_114_481), "216": (9_150_651, 9_345_479), "301": (9_351_665, 9_351_666),
    "508": (9_353_818, 9_355_323), "509": (9_511_769, 9_686_171), "702": (9_867_762, 9_867_762),
    "853": (10_091_378, 10_091_378),
}  # fmt: skip
SMALL = ["--impressions", "6000", "--test-impressions", "5000", "--list-scale", "0.1", "--impressions-per-row", "12"]
RATES = ["--click-rate", "0.3", "--buy-rate", "0.2"]

Entry = tuple[str, int, str]


@dataclass
class Line:
    """One line of a raw file."""

    head: list[str]
    entries: list[Entry]

    def fields(self) -> set[str]:
        return {field for field, _, _ in self.entries}

    def only(self, field: str) -> list[Entry]:
        return [entry for entry in self.entries if entry[0] == field]


def text(path: Path) -> str:
    """What a file holds, compressed or not."""
    if path.exists():
        return path.read_bytes().decode("ascii")
    with gzip.open(f"{path}.gz") as file:
        return file.read().decode("ascii")


def read(path: Path, columns: int) -> list[Line]:
    """Every line of a raw file, with its syntax checked."""
    content = text(path)
    assert content.endswith("\n")
    assert "\r" not in content
    found = []
    for line in content[:-1].split("\n"):
        cells = line.split(",")
        assert len(cells) == columns
        entries = []
        for entry in cells[-1].split("\x01"):
            match = re.fullmatch(r"([0-9]+(?:_14)?)\x02([1-9][0-9]*)\x03([0-9]+\.[0-9]{1,5})", entry)
            assert match, entry
            entries.append((match[1], int(match[2]), match[3]))
        assert cells[-2] == str(len(entries))
        found.append(Line(cells[:-2], entries))
    return found


def run(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), "--out", str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def simulate() -> Iterator[ModuleType]:
    yield loaded(SCRIPT)
    del sys.modules["aliccp_simulate"]


@dataclass
class Data:
    """A folder that the script wrote, read."""

    folder: Path
    skeleton: dict[str, list[Line]]
    common: dict[str, list[Line]]
    truth: dict[str, pl.DataFrame]

    @classmethod
    def of(cls, folder: Path) -> "Data":
        return cls(
            folder,
            {split: read(folder / f"sample_skeleton_{split}.csv", 6) for split in SPLITS},
            {split: read(folder / f"common_features_{split}.csv", 3) for split in SPLITS},
            {split: pl.read_parquet(folder / "truth" / f"{split}.parquet") for split in SPLITS},
        )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("fresh") / "data"
    done = run(folder, *SMALL, *RATES)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Data.of(folder)


@pytest.fixture(scope="module")
def bundled() -> Data:
    return Data.of(SAMPLE)


@pytest.fixture(params=["fresh", "bundled"])
def data(request: pytest.FixtureRequest) -> Data:
    found: Data = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_heads_are_numbered_labelled_and_join_completely(data: Data, split: str) -> None:
    heads = [line.head for line in data.skeleton[split]]
    assert [head[0] for head in heads] == [str(k) for k in range(1, len(heads) + 1)]
    assert {label for head in heads for label in head[1:3]} == {"0", "1"}
    indices = [line.head[0] for line in data.common[split]]
    assert all(re.fullmatch("[0-9a-f]{16}", index) for index in indices)
    assert len(set(indices)) == len(indices)
    assert {head[3] for head in heads} == set(indices)


def test_train_and_test_share_no_common_row_but_share_users(data: Data) -> None:
    indices, users = ([set(found[split]) for split in SPLITS] for found in (
        {split: [line.head[0] for line in data.common[split]] for split in SPLITS},
        {split: [e[1] for line in data.common[split] for e in line.only("101")] for split in SPLITS},
    ))  # fmt: skip
    assert not indices[0] & indices[1]
    assert 0.3 < len(users[0] & users[1]) / len(users[1]) < 0.8


@pytest.mark.parametrize("split", SPLITS)
def test_ids_lie_in_the_block_of_their_field(data: Data, split: str) -> None:
    seen = defaultdict(set)
    for line in data.skeleton[split] + data.common[split]:
        for field, feature, _ in line.entries:
            seen[field].add(feature)
    names = sorted(SEEN, key=lambda name: SEEN[name])
    assert set(seen) == set(names)
    for before, name, after in zip([None, *names], names, [*names[1:], None], strict=False):
        assert min(seen[name]) > (SEEN[before][1] if before else 0)
        assert max(seen[name]) < SEEN[after][0] if after else max(seen[name]) <= 10_091_378


def test_blocks_hold_the_ids_seen_and_do_not_overlap(simulate: ModuleType) -> None:
    ends = 0
    for name, (first, count) in sorted(simulate.BLOCKS.items(), key=lambda block: block[1]):
        assert ends < first <= SEEN[name][0]
        ends = first + count - 1
        assert ends >= SEEN[name][1]
    assert ends == 10_091_378


@pytest.mark.parametrize("split", SPLITS)
def test_each_field_is_on_its_side_and_single_where_it_must_be(data: Data, split: str) -> None:
    for lines, allowed in ((data.skeleton[split], SKELETON), (data.common[split], COMMON)):
        for line in lines:
            counts = Counter(field for field, _, _ in line.entries)
            assert set(counts) <= allowed
            assert all(count == 1 for field, count in counts.items() if field not in LISTS)
            assert len({entry[:2] for entry in line.entries}) == len(line.entries)
            runs = [field for k, (field, _, _) in enumerate(line.entries) if not k or line.entries[k - 1][0] != field]
            assert len(runs) == len(counts), "the entries of a list follow each other"


@pytest.mark.parametrize("split", SPLITS)
def test_values_are_those_of_their_field(data: Data, split: str) -> None:
    whole = {repr(round(math.log(1 + n), 5)) for n in range(1, 3586)}
    twelfths = {repr(round(math.log(round(1 + k / 12, 3)), 5)) for k in range(1, 3586)}
    for line in data.skeleton[split] + data.common[split]:
        for field, _, value in line.entries:
            assert value in (whole if field in COUNTS else twelfths if field in TWELFTHS else {"1.0"})


@pytest.mark.parametrize("split", SPLITS)
def test_a_cross_field_repeats_the_value_of_the_list(data: Data, split: str) -> None:
    # 508, 509, 702 and 853 say how often the person met the category, shop, brand and nodes shown.
    lists = {"508": "109_14", "509": "110_14", "702": "127_14", "853": "150_14"}
    common = {line.head[0]: line for line in data.common[split]}
    for line in data.skeleton[split]:
        person = common[line.head[3]]
        for cross, source in lists.items():
            worths = {value for _, _, value in person.only(source)}
            assert {value for _, _, value in line.only(cross)} <= worths


def test_508_and_206_correspond_one_to_one(data: Data) -> None:
    pairs = set()
    for line in data.skeleton["train"]:
        pairs |= {(cross[1], category[1]) for cross in line.only("508") for category in line.only("206")}
    assert len(pairs) == len({cross for cross, _ in pairs}) == len({category for _, category in pairs})


@pytest.mark.parametrize("split", SPLITS)
def test_defects_are_there(data: Data, split: str) -> None:
    skeleton, common = data.skeleton[split], data.common[split]
    labels = Counter((line.head[1], line.head[2]) for line in skeleton)
    assert 1 <= labels["0", "1"] <= 3, "a conversion without a click"
    lost = [line for line in skeleton if "205" not in line.fields()]
    assert 1 <= len(lost) <= 3, "an impression without its item"
    for line in skeleton:
        assert len(line.fields() & {"205", "206", "207"}) == (0 if line in lost else 3)
    nobody = [line for line in common if "101" not in line.fields()]
    assert nobody
    assert all(not line.fields() & LISTS for line in nobody)
    assert any(len(line.entries) >= 6 for line in nobody)
    for line in common:
        assert len(line.fields() & TOGETHER) in {0, len(TOGETHER)}
    assert any(not line.fields() & TOGETHER for line in common)
    for lines in (skeleton, common):
        orders = {tuple(dict.fromkeys(field for field, _, _ in line.entries)) for line in lines}
        assert len(orders) > len(lines) / 4, "the fields come in any order"
    # A parser that keeps one entry of a list would lose most of them.
    assert sum(len(line.only("110_14")) for line in common) > 5 * len(common)


@pytest.mark.parametrize("split", SPLITS)
def test_rows_of_a_common_row_are_contiguous_and_the_common_file_has_ascending_runs(data: Data, split: str) -> None:
    indices = [line.head[3] for line in data.skeleton[split]]
    blocks = [index for k, index in enumerate(indices) if not k or indices[k - 1] != index]
    assert len(blocks) == len(set(blocks))
    assert blocks != sorted(blocks)
    common = [line.head[0] for line in data.common[split]]
    falls = sum(one > two for one, two in pairwise(common[1:]))
    assert falls == 5


@pytest.mark.parametrize("split", SPLITS)
def test_truth_has_the_rows_of_the_skeleton_and_is_calibrated(data: Data, split: str) -> None:
    truth, heads = data.truth[split], [line.head for line in data.skeleton[split]]
    types = {"sample_id": pl.Int64, "click": pl.Float64, "buy_given_click": pl.Float64, "buy": pl.Float64}
    assert dict(truth.schema) == types
    assert truth["sample_id"].to_list() == [int(head[0]) for head in heads]
    click, given, buy = (truth[name].to_numpy() for name in ("click", "buy_given_click", "buy"))
    assert ((click > 0) & (click < 1) & (given > 0) & (given < 1)).all()
    np.testing.assert_allclose(buy, click * given, rtol=1e-15)
    clicked = np.array([head[1] == "1" for head in heads])
    bought = clicked & np.array([head[2] == "1" for head in heads])
    for seen, chance in ((clicked, click), (bought, buy), (bought[clicked], given[clicked])):
        assert abs(seen.sum() - chance.sum()) < 4 * math.sqrt((chance * (1 - chance)).sum())
    assert auc(click, clicked) > 0.65
    assert auc(buy, bought) > 0.65


def auc(score: np.ndarray, label: np.ndarray) -> float:
    ranks = np.argsort(np.argsort(score)) + 1.0
    ones = label.sum()
    return float((ranks[label].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones)))


def test_rates_are_about_those_asked_for(fresh: Data) -> None:
    truth = pl.concat(fresh.truth.values())
    assert truth["click"].mean() == pytest.approx(0.3, rel=0.08)
    assert truth["buy"].sum() / truth["click"].sum() == pytest.approx(0.2, rel=0.15)


def test_shares_and_list_lengths_are_about_the_real_ones(tmp_path: Path) -> None:
    assert run(tmp_path, "--impressions", "25000", "--test-impressions", "1").returncode == 0
    skeleton = read(tmp_path / "sample_skeleton_train.csv", 6)
    common = {line.head[0]: line for line in read(tmp_path / "common_features_train.csv", 3)}
    times = Counter(line.head[3] for line in skeleton)
    assert len(skeleton) / len(common) == pytest.approx(57.9, rel=0.1)
    rows, entries = Counter[str](), Counter[str]()
    for line, count in [(line, 1) for line in skeleton] + [(common[index], n) for index, n in times.items()]:
        for field, found in Counter(field for field, _, _ in line.entries).items():
            rows[field] += count
            entries[field] += found * count
    coverage = {
        "101": 0.998, "121": 0.870, "126": 0.416, "129": 0.637, "109_14": 0.991, "150_14": 0.998, "205": 1, "210": 1,
        "216": 0.712, "508": 0.696, "509": 0.221, "702": 0.224, "853": 0.410, "301": 1,
    }  # fmt: skip
    for field, share in coverage.items():
        assert rows[field] / len(skeleton) == pytest.approx(share, abs=0.06), field
    lengths = {"109_14": 69.02, "110_14": 249.97, "127_14": 153.63, "150_14": 135.90, "210": 6.10, "853": 1.40}
    for field, length in lengths.items():
        assert entries[field] / len(skeleton) == pytest.approx(length, rel=0.15), field
    assert sum(entries.values()) / len(skeleton) == pytest.approx(629, rel=0.12)


def test_equal_seeds_give_equal_bytes_and_others_do_not(fresh: Data, tmp_path: Path) -> None:
    run(tmp_path / "same", *SMALL, *RATES)
    names = [*TEXTS, "truth/train.parquet", "truth/test.parquet"]
    assert sorted(path.relative_to(tmp_path / "same").as_posix() for path in (tmp_path / "same").rglob("*.*")) == sorted(names)
    for name in names:
        assert (tmp_path / "same" / name).read_bytes() == (fresh.folder / name).read_bytes()
    run(tmp_path / "other", *SMALL, *RATES, "--seed", "1")
    for name in names:
        assert (tmp_path / "other" / name).read_bytes() != (fresh.folder / name).read_bytes()


@pytest.mark.parametrize("work", [500, 10**9])
def test_bytes_do_not_depend_on_how_much_is_made_at_a_time(
    simulate: ModuleType, fresh: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: int
) -> None:
    monkeypatch.setattr(simulate, "CHUNK", work)
    simulate.main(["--out", str(tmp_path), *SMALL, *RATES])
    for name in TEXTS:
        assert (tmp_path / name).read_bytes() == (fresh.folder / name).read_bytes()
    for split in SPLITS:
        truth = pl.read_parquet(tmp_path / "truth" / f"{split}.parquet")
        assert truth.equals(fresh.truth[split])


def test_compressed_files_hold_the_same_text_and_replace_the_others(fresh: Data, tmp_path: Path) -> None:
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    assert run(tmp_path, "--impressions", "9", "--list-scale", "0.1").returncode == 0
    assert run(tmp_path, *SMALL, *RATES, "--gzip").returncode == 0
    for name in RAW:
        assert not (tmp_path / name).exists()
        assert text(tmp_path / name) == text(fresh.folder / name)
    assert mine.read_text() == "mine"
    assert not list(tmp_path.glob(".*")), "nothing temporary is left"


@pytest.mark.parametrize("flags", [
    ["--impressions", "1"],
    ["--impressions", "3", "--impressions-per-row", "1", "--list-scale", "0.001"],
    ["--impressions", "50", "--impressions-per-row", "100000", "--list-scale", "0.01", "--click-rate", "0.9"],
])  # fmt: skip
def test_very_small_data_are_whole(tmp_path: Path, flags: list[str]) -> None:
    done = run(tmp_path, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    data = Data.of(tmp_path)
    for split in SPLITS:
        assert {line.head[3] for line in data.skeleton[split]} == {line.head[0] for line in data.common[split]}
        assert len(data.truth[split]) == len(data.skeleton[split])


@pytest.mark.parametrize(("flags", "part"), [
    (["--impressions", "0"], "argument --impressions: got '0', expected a whole number from 1 to 1000000000"),
    (["--impressions", "1e6"], "got '1e6', expected a whole number"),
    (["--click-rate", "nan"], "argument --click-rate: got 'nan', expected a number from 0.0001 to 0.9"),
    (["--list-scale", "9"], "argument --list-scale: got '9'"),
    (["--clicks", "1"], "unrecognized arguments: --clicks 1"),
])  # fmt: skip
def test_wrong_flags_leave_with_2_and_one_line(tmp_path: Path, flags: list[str], part: str) -> None:
    done = run(tmp_path / "new", *flags)
    assert done.returncode == 2
    assert re.fullmatch(r"simulate\.py: [^\n]+\. See --help\.\n", done.stderr)
    assert part in done.stderr
    assert not (tmp_path / "new").exists()


def test_out_is_required_and_must_be_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = run(file)
    assert (done.returncode, done.stderr) == (
        2, f"simulate.py: argument --out: {file} is a file, expected a folder. See --help.\n",
    )  # fmt: skip
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["sample_skeleton_train.csv", "common_features_test.csv.gz", "README.txt"])
def test_files_of_others_are_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("real data")
    done = run(tmp_path, "--impressions", "5")
    assert done.returncode == 2
    assert f"{tmp_path / name} was not made here" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "real data"


def test_the_bundled_sample_is_small_large_enough_and_says_what_it_is(bundled: Data) -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert len(bundled.skeleton["train"]) >= 20_000
    assert len(bundled.skeleton["test"]) >= 5_000
    assert sum(line.head[1:3] == ["1", "1"] for line in bundled.skeleton["train"]) >= 300
    assert text(SAMPLE / "README.txt").startswith("SIMULATED")


def test_the_bundled_sample_comes_out_of_its_command_again(bundled: Data, tmp_path: Path) -> None:
    command = next(line for line in text(SAMPLE / "README.txt").splitlines() if line.startswith("    python "))
    script, *flags = shlex.split(command)[1:]
    assert ROOT / script == SCRIPT
    assert flags[:2] == ["--out", "FOLDER"]
    assert command.strip().replace("FOLDER", "examples/aliccp/sample") in (SCRIPT.parent / "README.md").read_text()
    assert run(tmp_path, *flags[2:]).returncode == 0
    for name in TEXTS:
        assert text(tmp_path / name) == text(SAMPLE / name)
    for split in SPLITS:
        again = pl.read_parquet(tmp_path / "truth" / f"{split}.parquet")
        for name in again.columns:
            np.testing.assert_allclose(again[name], bundled.truth[split][name], rtol=1e-9)
