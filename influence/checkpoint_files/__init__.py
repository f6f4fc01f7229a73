"""What an adapter folder may say, checked before anything is loaded. No torch."""
