"""Release machine-learning models for OpenSearch, with proof that they serve what their source computes."""

__version__ = "0.1.0"
