"""The machine: types, strict reading, units, commits, runners. It knows no operator by name."""
