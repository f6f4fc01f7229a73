"""In which order an audit should show rows, measured by planted wrong labels."""
