"""Delivery of domain events to a subscriber's group: order per key, retries, dead letters, receipts."""
