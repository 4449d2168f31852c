"""A small web service for the examples that call one: carts, products, orders, events, books. Everything is in memory.

    python -m tasker_kafka.deploy.examples.shop [PORT]

| request | answer |
|---|---|
| GET /carts/<id> | the cart; 404 |
| GET /products | the catalogue |
| POST /orders | 201 and the order, the same for the same `Idempotency-Key`; 403 while the customer is locked |
| POST /events | 202 |
| PUT /customers/<id> {"locked": …} | 204 |
| POST /audit, /notifications | 201, once for each `Idempotency-Key` |
| POST /ledger | 201, once for each `Idempotency-Key`; 503 while the books are closed |
| PUT /ledger {"open": …} | 204 |
| anything else | 404; 400 where the body is no JSON object |

Cart 1 belongs to customer 1; cart 2 to customer 2, who is locked until somebody unlocks them.
"""

from __future__ import annotations

import json
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from .catalogue import CATALOGUE

__all__ = ["USUAL_URL", "Shop", "main"]

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 8089
USUAL_URL: Final = f"http://{HOST}:{USUAL_PORT}"
STOP_POLL_SECONDS: Final = 0.02
_LARGEST_BODY: Final = 64 * 1024

Answer = tuple[HTTPStatus, Any]
"""Status and JSON; None: no body."""


class ShopData:
    """What the service knows. Its methods are called from one thread per connection."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._locked = {2}
        self._orders: dict[str, dict[str, Any]] = {}
        self._carts: dict[str, dict[str, Any]] = {
            "1": _cart(1, customer_id=1, mug=2, tea=3),
            "2": _cart(2, customer_id=2, pot=1),
        }
        self.events: list[dict[str, Any]] = []
        self.is_ledger_open = True
        self.written: dict[str, dict[str, dict[str, Any]]] = {
            "audit": {},
            "notifications": {},
            "ledger": {},
        }
        """Book → key → what was written under it first."""

    def answer(self, method: str, parts: list[str], body: Any, key: str) -> Answer:
        """The answer to a request; `key`: its `Idempotency-Key`, or empty."""
        if method != "GET" and not isinstance(body, dict):
            return HTTPStatus.BAD_REQUEST, {"error": "the body is no JSON object"}
        with self.lock:
            match (method, *parts):
                case ("GET", "carts", cart_id) if cart_id in self._carts:
                    return HTTPStatus.OK, self._carts[cart_id]
                case ("GET", "products"):
                    return HTTPStatus.OK, [product.model_dump() for product in CATALOGUE.values()]
                case ("POST", "orders"):
                    return self._order(body, key)
                case ("POST", "events"):
                    self.events.append(body)
                    return HTTPStatus.ACCEPTED, {"accepted": True}
                case ("PUT", "customers", customer_id) if customer_id.isdecimal():
                    self._lock_or_unlock(int(customer_id), is_locked=bool(body.get("locked")))
                    return HTTPStatus.NO_CONTENT, None
                case ("POST", book) if book in self.written:
                    return self._write(book, body, key)
                case ("PUT", "ledger"):
                    self.is_ledger_open = bool(body.get("open"))
                    return HTTPStatus.NO_CONTENT, None
                case _:
                    return HTTPStatus.NOT_FOUND, {"error": "not found"}

    def _write(self, book: str, body: dict[str, Any], key: str) -> Answer:
        if book == "ledger" and not self.is_ledger_open:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the books are closed"}
        entries = self.written[book]
        return HTTPStatus.CREATED, entries.setdefault(key or f"entry {len(entries) + 1}", body)

    def _order(self, body: dict[str, Any], key: str) -> Answer:
        if body.get("customer_id") in self._locked:
            return HTTPStatus.FORBIDDEN, {"error": f"customer {body['customer_id']} is locked"}
        number = len(self._orders) + 1
        made = {"order_id": f"ord_{number:04}", "total_cents": body.get("total_cents", 0)}
        return HTTPStatus.CREATED, self._orders.setdefault(key or f"order {number}", made)

    def set_locked(self, customer_id: int, *, is_locked: bool) -> None:
        """Lock or unlock a customer."""
        with self.lock:
            self._lock_or_unlock(customer_id, is_locked=is_locked)

    def _lock_or_unlock(self, customer_id: int, *, is_locked: bool) -> None:
        if is_locked:
            self._locked.add(customer_id)
        else:
            self._locked.discard(customer_id)


class Shop:
    """The service on a loopback port, in threads of this process, while the `with` block runs. Port 0: a free one."""

    def __init__(self, port: int = 0) -> None:
        self.data = ShopData()
        data = self.data

        class Handler(_Handler):
            shop = data

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_SECONDS,), name="shop", daemon=True
        )

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def unlock(self, customer_id: int) -> None:
        """Let a customer order again, as PUT /customers/<id> does."""
        self.data.set_locked(customer_id, is_locked=False)

    def open_books(self, *, is_open: bool) -> None:
        """Open or close the books, as PUT /ledger does."""
        with self.data.lock:
            self.data.is_ledger_open = is_open

    def written(self, book: str) -> dict[str, dict[str, Any]]:
        """What was written into `audit`, `notifications` or `ledger` until now, by key."""
        with self.data.lock:
            return dict(self.data.written[book])

    def wait(self) -> None:
        """Until the process is told to end."""
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    shop: ShopData
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(self._body())

    def do_PUT(self) -> None:
        self._answer(self._body())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the examples' output is not about this server."""

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            return None
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError:
            return None

    def _answer(self, body: Any) -> None:
        parts = [part for part in self.path.partition("?")[0].split("/") if part]
        key = self.headers.get("Idempotency-Key", "")
        status, found = self.shop.answer(self.command, parts, body, key)
        data = b"" if found is None else json.dumps(found).encode()
        self.send_response(status)
        if found is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _cart(cart_id: int, *, customer_id: int, **quantities: int) -> dict[str, Any]:
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
    return {"cart_id": cart_id, "customer_id": customer_id, "lines": lines}


def main() -> None:
    """Serve until Ctrl-C."""
    with Shop(int(sys.argv[1]) if len(sys.argv) > 1 else USUAL_PORT) as shop:
        print(f"the shop listens on {shop.url}; Ctrl-C ends it", flush=True)
        try:
            shop.wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
