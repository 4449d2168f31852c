"""The handlers of `analytics/data_pipeline`. The extracts make their rows up, always the same for the same period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel

from tasker_kafka.deploy.examples.catalogue import CATALOGUE, Product
from tasker_kafka.handlers import StepContext, StepHandler, result_of, step_handler

__all__ = [
    "Dashboard",
    "GenerateInsights",
    "Insights",
    "Metrics",
    "Notified",
    "OrderRow",
    "Period",
    "UserRow",
    "extract_orders",
    "extract_products",
    "extract_users",
    "send_notifications",
    "transform_customer_metrics",
    "transform_product_metrics",
    "update_dashboard",
]

USERS = ("Ada", "Ben", "Cleo", "Dan", "Eve")


class Period(BaseModel):
    """The task's context."""

    period: str
    orders: int = 60


class OrderRow(BaseModel):
    """One order."""

    user_id: int
    sku: str
    quantity: int


class UserRow(BaseModel):
    """One customer."""

    user_id: int
    name: str


class Metrics(BaseModel):
    """Revenue by name, and all of it."""

    revenue_cents: dict[str, int]
    total_cents: int


class Insights(BaseModel):
    """What the month was like."""

    period: str
    revenue_cents: int
    best_customer: str
    best_product: str


class Dashboard(BaseModel):
    """Where to look."""

    url: str
    headline: str


class Notified(BaseModel):
    """Who was told."""

    recipients: list[str]
    text: str


@step_handler("analytics.extract_orders")
async def extract_orders(context: StepContext, period: Period) -> list[OrderRow]:
    """As from an order database; progress shows in heartbeats where an extract takes long."""
    skus = sorted(CATALOGUE)
    month = int(period.period[-2:])
    rows = [
        OrderRow(
            user_id=number * (number + month) % len(USERS),
            sku=skus[(number * 3 + number // 7) % len(skus)],
            quantity=1 + number % 3,
        )
        for number in range(period.orders)
    ]
    context.heartbeat({"rows": len(rows)})
    return rows


@step_handler("analytics.extract_users")
async def extract_users() -> list[UserRow]:
    """As from a customer database."""
    return [UserRow(user_id=number, name=name) for number, name in enumerate(USERS)]


@step_handler("analytics.extract_products")
def extract_products() -> list[Product]:
    """As from a catalogue whose client blocks: a plain function runs in a thread."""
    return list(CATALOGUE.values())


@step_handler("analytics.transform_customer_metrics")
async def transform_customer_metrics(
    orders: Annotated[list[OrderRow], result_of("extract_orders")],
    users: Annotated[list[UserRow], result_of("extract_users")],
) -> Metrics:
    """Revenue by customer."""
    names = {user.user_id: user.name for user in users}
    return _metrics(
        (names[order.user_id], order.quantity * CATALOGUE[order.sku].price_cents) for order in orders
    )


@step_handler("analytics.transform_product_metrics")
async def transform_product_metrics(
    orders: Annotated[list[OrderRow], result_of("extract_orders")],
    products: Annotated[list[Product], result_of("extract_products")],
) -> Metrics:
    """Revenue by product."""
    known = {product.sku: product for product in products}
    return _metrics(
        (known[order.sku].name, order.quantity * known[order.sku].price_cents) for order in orders
    )


class GenerateInsights(StepHandler):
    """A handler as a class: one instance per process, for what is costly to make and may be shared."""

    name = "analytics.generate_insights"

    async def call(
        self,
        period: Period,
        customers: Annotated[Metrics, result_of("transform_customer_metrics")],
        products: Annotated[Metrics, result_of("transform_product_metrics")],
    ) -> Insights:
        """Join what both transforms found."""
        return Insights(
            period=period.period,
            revenue_cents=products.total_cents,
            best_customer=_best(customers),
            best_product=_best(products),
        )


@step_handler("analytics.update_dashboard")
async def update_dashboard(
    context: StepContext, insights: Annotated[Insights, result_of("generate_insights")]
) -> Dashboard:
    """Put the month on its page."""
    headline = (
        f"{insights.period}: {insights.revenue_cents / 100:,.2f}, most of it by {insights.best_customer}"
    )
    return Dashboard(url=f"{context.config['base_url']}/{insights.period}", headline=headline)


@step_handler("analytics.send_notifications")
async def send_notifications(
    context: StepContext, dashboard: Annotated[Dashboard, result_of("update_dashboard")]
) -> Notified:
    """Tell the channels that the template names."""
    return Notified(recipients=context.config["channels"], text=f"{dashboard.headline} – {dashboard.url}")


def _metrics(sales: Iterable[tuple[str, int]]) -> Metrics:
    revenue: Counter[str] = Counter()
    for name, cents in sales:
        revenue[name] += cents
    return Metrics(revenue_cents=dict(sorted(revenue.items())), total_cents=revenue.total())


def _best(metrics: Metrics) -> str:
    return max(metrics.revenue_cents, key=metrics.revenue_cents.__getitem__)
