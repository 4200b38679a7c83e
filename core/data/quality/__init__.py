"""What is wrong with texts and labels, and the fixes that can be applied."""
