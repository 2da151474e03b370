"""Any cluster of OpenSearch, over the network: the transport, and what takes more than one request."""
