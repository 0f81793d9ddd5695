"""What is published: true cards, and pushes with them."""
