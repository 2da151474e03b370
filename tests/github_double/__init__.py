"""A stand-in for GitHub's API."""
