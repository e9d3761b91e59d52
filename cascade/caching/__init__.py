"""What was said about equal inputs is kept: keys, a store bounded in bytes, and one computation at a time for each key."""
