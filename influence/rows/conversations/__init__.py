"""Conversations in their normal form: messages, and what a chat template reads beside them."""
