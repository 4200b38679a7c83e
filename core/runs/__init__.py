"""The work that outlives the tab: a run is a folder, trained by a process of its own."""
