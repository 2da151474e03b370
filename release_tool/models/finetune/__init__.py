"""Fine-tuning: teachers, training, encoding; torch."""
