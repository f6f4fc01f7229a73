"""Tokenizer files beside an adapter: what training read. Strangers wrote them, so every part is bounded."""
