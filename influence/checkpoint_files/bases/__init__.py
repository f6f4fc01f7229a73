"""What a base model may be, beside one model of transformers in a folder of its own."""
