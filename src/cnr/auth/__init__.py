"""Who may do what: `authorize(credentials, Access(repository, action))` grants or raises."""
