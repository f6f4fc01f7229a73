"""What a service of separate processes is put through, and workers that are broken on purpose."""
