// Package rows makes the lines of docker's tables: containers, images, histories. A line's fields are what
// `--format` templates name and its JSON shows.
package rows
