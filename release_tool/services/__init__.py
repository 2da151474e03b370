"""The only ring that opens sockets or starts servers: one module an outside system."""
