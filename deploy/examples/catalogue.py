"""What the shop of the examples sells: one table for every example that needs products."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

__all__ = ["CATALOGUE", "Product"]


class Product(BaseModel, frozen=True):
    """Something that is sold."""

    sku: str
    name: str
    price_cents: int
    stock: int


CATALOGUE: Final[Mapping[str, Product]] = MappingProxyType(
    {
        each.sku: each
        for each in (
            Product(sku="mug", name="Mug", price_cents=1250, stock=40),
            Product(sku="pot", name="Tea pot", price_cents=3900, stock=12),
            Product(sku="tea", name="Green tea, 100 g", price_cents=890, stock=300),
            Product(sku="tray", name="Tray", price_cents=2400, stock=0),
        )
    }
)
"""Products by sku. The tray is out of stock."""
