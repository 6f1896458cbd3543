"""What arrives: trace files and synthetic loads, scaled."""
