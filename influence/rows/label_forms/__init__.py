"""What labels of every kind are: how they are recognised, read, checked and counted."""
