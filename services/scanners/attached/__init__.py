"""What is said of a file that came by mail: by its name, and by what it is. Each module yields evidence, pure."""
