"""What limits cost a request."""
