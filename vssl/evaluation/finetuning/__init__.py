"""Fine-tuning: the classifier, its training, what is kept of it, and labels for new videos."""
