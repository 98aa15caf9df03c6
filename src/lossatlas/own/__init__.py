"""The command for networks of one's own: from names of Python objects and files to a result, a figure and exports."""
