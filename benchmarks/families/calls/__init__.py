"""What a call costs on its way to the kernel."""
