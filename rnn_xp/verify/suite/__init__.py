"""The property suite: what must hold of every recurrent network, with no oracle needed."""
