"""A model hub on loopback, for tests."""
