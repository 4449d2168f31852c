"""Declaring subscribers of domain events; how they are delivered is in `handlers.delivery`."""
