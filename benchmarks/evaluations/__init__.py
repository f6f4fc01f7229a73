"""What training again says of scores: experiments by the commands that users run."""
