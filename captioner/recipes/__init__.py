"""What `captioner train` is asked for: a module a task, and what all tasks' recipes share."""
