"""What a store holds, as a page or as JSON."""
