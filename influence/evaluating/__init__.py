"""What evaluations measure: pure figures over scores. numpy only."""
