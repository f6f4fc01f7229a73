"""From influence to what people look at: rankings, and how a test point's scores lie, exactly and alike whether one
worker holds all of them or many hold parts."""
