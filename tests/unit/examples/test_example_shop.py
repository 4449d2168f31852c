"""The web service of the examples, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tasker_kafka.deploy.examples.shop import Shop

ORDER = {"customer_id": 1, "total_cents": 10}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as running:
        yield running


@pytest.fixture
def http(shop: Shop) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shop.url) as client:
        yield client


def test_carts_and_products_are_there(http: httpx.Client) -> None:
    assert http.get("/carts/1").json()["lines"] == [
        {"sku": "mug", "quantity": 2},
        {"sku": "tea", "quantity": 3},
    ]
    assert {product["sku"] for product in http.get("/products?page=1").json()} == {
        "mug",
        "pot",
        "tea",
        "tray",
    }


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/carts/9"), ("GET", "/"), ("POST", "/carts"), ("PUT", "/customers/x")]
)
def test_anything_else_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    assert http.request(method, path, json={}).status_code == httpx.codes.NOT_FOUND


def test_same_key_is_the_same_order(http: httpx.Client) -> None:
    first = http.post("/orders", json=ORDER, headers={"Idempotency-Key": "a"})
    again = http.post("/orders", json=ORDER, headers={"Idempotency-Key": "a"})
    other = http.post("/orders", json=ORDER, headers={"Idempotency-Key": "b"})
    assert first.status_code == httpx.codes.CREATED
    assert first.json() == again.json() != other.json()


def test_orders_without_a_key_are_all_different(http: httpx.Client) -> None:
    assert http.post("/orders", json=ORDER).json() != http.post("/orders", json=ORDER).json()


def test_locked_customer_is_refused_until_unlocked(http: httpx.Client) -> None:
    order = {**ORDER, "customer_id": 2}
    assert http.post("/orders", json=order).status_code == httpx.codes.FORBIDDEN
    assert http.put("/customers/2", json={"locked": False}).status_code == httpx.codes.NO_CONTENT
    assert http.post("/orders", json=order).status_code == httpx.codes.CREATED
    assert http.put("/customers/2", json={"locked": True}).status_code == httpx.codes.NO_CONTENT
    assert http.post("/orders", json=order).status_code == httpx.codes.FORBIDDEN


def test_events_are_kept(http: httpx.Client, shop: Shop) -> None:
    assert http.post("/events", json={"type": "order.created"}).status_code == httpx.codes.ACCEPTED
    assert shop.data.events == [{"type": "order.created"}]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"x" * 70_000])
def test_what_is_no_json_object_is_refused(http: httpx.Client, body: bytes) -> None:
    assert http.post("/events", content=body).status_code == httpx.codes.BAD_REQUEST


@pytest.mark.parametrize("book", ["audit", "notifications", "ledger"])
def test_an_entry_is_written_once_for_each_key(shop: Shop, http: httpx.Client, book: str) -> None:
    for entry in ({"by": "first"}, {"by": "second"}):
        answer = http.post(f"/{book}", json=entry, headers={"Idempotency-Key": "event 1"})
        assert answer.status_code == httpx.codes.CREATED
    http.post(f"/{book}", json={"by": "third"})
    assert shop.written(book) == {"event 1": {"by": "first"}, "entry 2": {"by": "third"}}


def test_closed_books_take_nothing_until_they_are_opened(shop: Shop, http: httpx.Client) -> None:
    shop.open_books(is_open=False)
    assert http.post("/ledger", json={}).status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert http.post("/audit", json={}).status_code == httpx.codes.CREATED
    assert http.put("/ledger", json={"open": True}).status_code == httpx.codes.NO_CONTENT
    assert http.post("/ledger", json={}).status_code == httpx.codes.CREATED
