"""A small retailer with the shape of TPC-DS: enough sales that all that shall go wrong in the demo finds a place."""

import random
from functools import cache

from deploy.local.demo.retail import GoodsBack, Product, Retail, Sale

DAY_S = 86_400
FIRST_S = 2_450_815 * DAY_S
COSTS = ("25.00", "12.50", "4.11", "0.85", "0.38")


@cache
def small_shop(lines: int = 6000, products: int = 60) -> Retail:
    rng = random.Random(7)
    goods = [
        Product(n, f"AAAA{n}", "Home", "decor", "rosy", "N/A", COSTS[n % len(COSTS)]) for n in range(1, products + 1)
    ]
    sales, returns = [], []
    for order in range(lines):
        channel = rng.choice(("store", "store", "catalog", "web"))
        sold = FIRST_S + order * 900 * DAY_S // lines
        shipped = sold if channel == "store" else sold + rng.randrange(2, 90) * DAY_S
        sale = Sale(channel, order, rng.randrange(1, products + 1), rng.randrange(1, 100), sold, shipped, order % 2)
        sales.append(sale)
        if order % 9 == 0:
            returns.append(GoodsBack(channel, order, sale.item, sale.quantity, shipped + rng.randrange(5, 40) * DAY_S))
    return Retail(goods, sales, sorted(returns, key=lambda back: back.at_s))
