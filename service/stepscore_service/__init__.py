"""The application: the HTTP service, its command line and its offline jobs."""
