"""Photos and pictures: opening, preprocessing, geometry, augmentation, and all that is drawn."""
