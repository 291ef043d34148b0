"""What tests/run consists of. Standard library only: nothing is installed yet when it starts."""
