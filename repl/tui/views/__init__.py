"""What is read: scrolling views of blocks of lines, and the panes and drawers made of them."""
