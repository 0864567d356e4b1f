"""Running untrusted programs without privileges: seccomp, Landlock and resource limits."""
