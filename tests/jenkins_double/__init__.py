"""A Jenkins for tests; not named ``jenkins``, which is the client's own package."""
