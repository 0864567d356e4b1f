"""What people read of an evaluation: tables and plots, as Markdown and as one page of HTML."""
