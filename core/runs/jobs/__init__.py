"""The one protocol of work that outlives the tab: a folder, a lock, a process, and how it ended."""
