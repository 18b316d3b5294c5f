"""What happens to a training sample: the augmentations of the papers, their parts, and evaluation sizes."""
