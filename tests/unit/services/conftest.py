"""Fixtures of the services' tests."""

from unit.services.bench import bench

__all__ = ["bench"]
