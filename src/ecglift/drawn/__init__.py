"""What a device drew on a page with a pen: lines, traces and words of a vector page."""
