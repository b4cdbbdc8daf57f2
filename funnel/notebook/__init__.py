"""What notebooks show: objects as HTML, and one line while a fit goes on."""
