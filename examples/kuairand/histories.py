"""Tell each exposure of KuaiRand what was known of its user, video, author and tags when the day began.

    python histories.py DIR OUT

reads val.parquet (25-30 April 2022) and test.parquet (1-8 May) of DIR, and writes them to OUT with more columns, beside copies
of its tables of users and videos. For each of KEYS: how often it was exposed on earlier days, and the shares of these exposures
that were clicked and, of the clicks, that were viewed long. A row's own day counts nowhere, nor does any label of the test's
days: what stands in a row is what a job that ran before midnight, and no later than on 30 April, could have written.
"""

import argparse
import shutil
from pathlib import Path

import polars as pl

KEYS = {
    "user": ["user_id"],
    "video": ["video_id"],
    "author": ["author_id"],
    "tag": ["tag"],
    "user_tab": ["user_id", "tab"],
    "user_tag": ["user_id", "tag"],
    "video_tab": ["video_id", "tab"],
}
# So many exposures, or clicks, of the share of all are added to a key's own: what is rare is believed little.
PRIOR = 4.0
DIMENSIONS = ("user_features_pure.csv", "video_features_basic_pure.csv")


def histories(train: pl.DataFrame, test: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both, rows as they were, with `<key>_shown`, `<key>_click_rate` and `<key>_view_rate` for each of `KEYS`."""
    rows = pl.concat([train.with_columns(known=1), test.with_columns(known=0)], how="vertical_relaxed").with_row_index("row")
    known = pl.col("known").cast(pl.Float64)
    click, view = known * pl.col("is_click"), known * pl.col("is_click") * pl.col("long_view")
    clicks, views = (float(rows.select(of.sum()).item()) for of in (click, view))
    click_rate, view_rate = clicks / len(train), views / clicks
    for name, key in KEYS.items():
        days = rows.group_by(*key, "date").agg(shown=known.sum(), clicks=click.sum(), views=view.sum()).sort("date")
        before = days.with_columns(
            (pl.col(column).cum_sum().over(key) - pl.col(column)) for column in ("shown", "clicks", "views")
        )
        told = before.select(
            *key,
            "date",
            (1 + pl.col("shown")).log().cast(pl.Float32).alias(f"{name}_shown"),
            ((pl.col("clicks") + PRIOR * click_rate) / (pl.col("shown") + PRIOR)).cast(pl.Float32).alias(f"{name}_click_rate"),
            ((pl.col("views") + PRIOR * view_rate) / (pl.col("clicks") + PRIOR)).cast(pl.Float32).alias(f"{name}_view_rate"),
        )
        rows = rows.join(told, on=[*key, "date"], how="left", nulls_equal=True, maintain_order="left")
    rows = rows.drop("row")
    made = [rows.filter(pl.col("known") == one).drop("known") for one in (1, 0)]
    return made[0], made[1]


def main() -> None:
    """Read, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    train, test = histories(*(pl.read_parquet(asked.dir / f"{name}.parquet") for name in ("val", "test")))
    asked.out.mkdir(parents=True, exist_ok=True)
    train.write_parquet(asked.out / "val.parquet")
    test.write_parquet(asked.out / "test.parquet")
    for name in DIMENSIONS:
        shutil.copyfile(asked.dir / name, asked.out / name)


if __name__ == "__main__":
    main()
