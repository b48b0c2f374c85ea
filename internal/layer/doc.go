// Package layer is gourd's one way between tar streams and directory trees.
//
// Reader reads the tar of an image layer or of a root file system and yields only entries that are safe to act on:
// whatever a hostile archive tries with names, links, numbers or sizes is refused there, once, with
// container.ErrCorrupt. Extract makes a directory from it through file handles only. Write is the other
// direction. Nothing here interprets what a file contains.
package layer
