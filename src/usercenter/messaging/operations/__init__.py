"""What operators do with the post: look whether all is well, and mend what is not."""
