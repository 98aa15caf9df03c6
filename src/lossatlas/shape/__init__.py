"""What stored losses say about the shape of a surface: radii, convexity, level sets, and how they rank networks."""
