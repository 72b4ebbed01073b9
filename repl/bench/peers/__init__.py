"""What the product is measured against. Each module runs in a process of its own and may import anything."""
