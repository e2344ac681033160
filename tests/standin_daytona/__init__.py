"""Stand-in: a server that speaks Daytona's API, and whose sandboxes are real processes in folders of their own."""
