"""Fine-tuning: sources of documents, writers of queries, search engines."""
