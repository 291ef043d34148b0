"""A change proposed to a remote repository: by HTTPS or SSH, as a commit, a branch or a pull request."""
