"""What queries that are worked on at once do together: passes over a model and over an index, and how many they are."""
