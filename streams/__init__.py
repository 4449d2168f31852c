"""What happens to a task: pure rules in `domain`, loops in `lane`, the Faust process in `runtime`."""
