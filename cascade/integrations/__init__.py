"""Where the package meets others: each module is imported by those who use the other package."""
