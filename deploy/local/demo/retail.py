"""What a retailer sold and took back: TPC-DS at a small scale, generated once and kept in the cache.

The generator is a DuckDB extension that comes in a wheel and is loaded from its file: nothing is downloaded and
nothing is installed under the home directory.
"""

from __future__ import annotations

import importlib.resources
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

SalesChannel = Literal["store", "catalog", "web"]

ITEMS = """
    SELECT i_item_sk, i_item_id, coalesce(i_category, 'Misc'), coalesce(i_class, 'item'), coalesce(i_color, ''),
           coalesce(i_size, 'N/A'), coalesce(i_wholesale_cost, i_current_price, 1.0)::DECIMAL(12, 2)::VARCHAR
    FROM item ORDER BY i_item_sk"""

# One row per sales line: channel, order, item, units, seconds when sold and shipped (NULL: never), customer's side of
# town. Lines that lack a date or a quantity (TPC-DS leaves out some on purpose) are left out here, too.
SALES = """
    WITH line AS (
        SELECT 'store' AS channel, ss_ticket_number AS number, ss_item_sk AS item, ss_quantity AS quantity,
               ss_sold_date_sk AS day, ss_sold_time_sk AS second, ss_sold_date_sk AS ship_day, ss_addr_sk AS address
        FROM store_sales
        UNION ALL SELECT 'catalog', cs_order_number, cs_item_sk, cs_quantity,
               cs_sold_date_sk, cs_sold_time_sk, cs_ship_date_sk, cs_ship_addr_sk FROM catalog_sales
        UNION ALL SELECT 'web', ws_order_number, ws_item_sk, ws_quantity,
               ws_sold_date_sk, ws_sold_time_sk, ws_ship_date_sk, ws_ship_addr_sk FROM web_sales)
    SELECT channel, number, item, quantity, day * 86400 + coalesce(second, number % 86400) AS sold_s,
           greatest(ship_day * 86400 + coalesce(second, number % 86400), sold_s), coalesce(address, number) % 2
    FROM line WHERE day IS NOT NULL AND quantity > 0 ORDER BY sold_s, channel, number, item"""

RETURNS = """
    WITH line AS (
        SELECT 'store' AS channel, sr_ticket_number AS number, sr_item_sk AS item, sr_return_quantity AS quantity,
               sr_returned_date_sk AS day, sr_return_time_sk AS second FROM store_returns
        UNION ALL SELECT 'catalog', cr_order_number, cr_item_sk, cr_return_quantity,
               cr_returned_date_sk, cr_returned_time_sk FROM catalog_returns
        UNION ALL SELECT 'web', wr_order_number, wr_item_sk, wr_return_quantity,
               wr_returned_date_sk, wr_returned_time_sk FROM web_returns)
    SELECT channel, number, item, quantity, day * 86400 + coalesce(second, number % 86400) AS at_s
    FROM line WHERE day IS NOT NULL AND quantity > 0 ORDER BY at_s, channel, number, item"""

TABLES = ["item", "store_sales", "catalog_sales", "web_sales", "store_returns", "catalog_returns", "web_returns"]


@dataclass(frozen=True, slots=True)
class Product:
    """One row of the item table: a revision of a product with its own size, colour and cost, so a SKU of its own."""

    number: int
    item_id: str
    category: str
    class_name: str
    colour: str
    size: str
    cost: str


@dataclass(frozen=True, slots=True)
class Sale:
    """One line of an order. Times are seconds of the data's own calendar; `shipped_s` None: it was called off."""

    channel: SalesChannel
    order: int
    item: int
    quantity: int
    sold_s: int
    shipped_s: int | None
    side: int


@dataclass(frozen=True, slots=True)
class GoodsBack:
    """One line that a customer brought or sent back."""

    channel: SalesChannel
    order: int
    item: int
    quantity: int
    at_s: int


@dataclass(frozen=True, slots=True)
class Retail:
    """All of it, each list in the order of its times."""

    products: list[Product]
    sales: list[Sale]
    returns: list[GoodsBack]


def cache_dir() -> Path:
    """Where generated data is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stockstream"


def load(scale: float, cache: Path | None = None) -> Retail:
    """The retail data at a TPC-DS scale factor (0.01: about 50,000 sales lines), generated at the first call.

    Raises:
        duckdb.Error: the data could not be generated, for one because the disk is full.
    """
    path = (cache or cache_dir()) / f"tpcds-{scale:g}-duckdb-{duckdb.__version__}.duckdb"
    if not path.is_file():
        _generate(scale, path)
    with closing(duckdb.connect(str(path), read_only=True)) as db:
        return Retail(
            [Product(*row) for row in db.execute(ITEMS).fetchall()],
            [Sale(*row) for row in db.execute(SALES).fetchall()],
            [GoodsBack(*row) for row in db.execute(RETURNS).fetchall()],
        )


def _generate(scale: float, path: Path) -> None:
    """Fill a file under another name first: only whole data is ever found under `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with closing(duckdb.connect(config={"autoinstall_known_extensions": "false"})) as db:
            db.execute(f"LOAD '{_extension()}'")
            db.execute(f"CALL dsdgen(sf = {scale:g})")
            db.execute(f"ATTACH '{part}' AS kept")
            for table in TABLES:
                db.execute(f"CREATE TABLE kept.{table} AS FROM {table}")
            db.execute("DETACH kept")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _extension() -> Path:
    name = f"extensions/v{duckdb.__version__}/tpcds.duckdb_extension"
    file = Path(str(importlib.resources.files("duckdb_extension_tpcds"))) / name
    if not file.is_file():
        raise duckdb.Error(f"duckdb-extension-tpcds has no build for duckdb {duckdb.__version__}: run make install")
    return file
