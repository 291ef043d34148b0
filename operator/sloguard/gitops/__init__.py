"""Write-back of tuned arguments into a Git repository."""
