"""The rules: who may have an account, how somebody proves to be its owner, and what is told when something changes."""
