"""`lodepack report`: one HTML page of an output, which needs no network and no server."""
