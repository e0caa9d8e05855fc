"""`lodepack submit`: a job sent to a Ray cluster through its Jobs API, followed to its end."""
