"""Rules of fine-tuning: recipe, stages, records, arithmetic. Pure: the standard library only."""
