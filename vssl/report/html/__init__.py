"""The comparison as one self-contained HTML file: table, charts, commands; nothing is loaded from anywhere."""
