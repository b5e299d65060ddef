"""Four order lines of a small shop, and how `tidal load` is told of their columns."""

from __future__ import annotations

ORDERS = """\
order,sku,pieces,time,customer
1001,lamp,2,2011-12-01 10:00:00,17850.0
1002,85123A,5,2011-12-01 11:00:00,
1003,lamp,1,2011-12-02 10:00:00,17851.0
C1004,lamp,1,2011-12-02 11:00:00,17851.0
"""
COLUMNS = [
    "--entity",
    "sku",
    "--weight",
    "pieces",
    "--timestamp",
    "time",
    "--user",
    "customer",
    "--session",
    "order",
]
