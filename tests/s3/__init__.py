"""A real S3 server for tests, a proxy in front of it that injects faults, and a program that kills publications."""
