"""Reading a flat sheet: turning it upright, finding rows, weighing arrangements. The layout stage is made of these."""
