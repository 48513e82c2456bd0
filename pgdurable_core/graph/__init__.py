"""What a workflow is: values, the document, checks, questions about the shape, and text for people. No I/O."""
