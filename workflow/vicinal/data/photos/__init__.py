"""Data sets of photos: packed as encoded JPEGs in one file, decoded and cropped as they are needed."""
