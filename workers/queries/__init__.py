"""From a query message to a stored answer."""
