"""People's side: the command line, the web page, the server."""
