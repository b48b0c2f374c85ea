// Package engine is gourd's lifecycle as the user knows it: containers, images and what they need, made,
// started, watched and taken away again. Front doors (the command line, later Docker's API) translate to
// it and nothing of theirs is in it. An Engine holds the stores; each verb is a file of its own.
//
// Values that a user gives are checked here, all of them before anything is made, so every front door
// refuses the same things with the same words. Wherever a method takes a ref it is a container's name,
// its id, or an unambiguous beginning of its id.
package engine
