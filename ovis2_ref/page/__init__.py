"""One HTML file to look inside the model with: see README.md."""
