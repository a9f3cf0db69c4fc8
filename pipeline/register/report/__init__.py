"""The sections of the HTML report, each number traced to the file that it was read from."""
