"""What a process keeps of earlier questions: gradients of rows, and of test points."""
