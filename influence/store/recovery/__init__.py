"""Records made anew from their copies among the files, where Redis lost them."""
