"""The domain: influence formulas, frozen contracts, content addresses and the store. No web framework, no torch."""
