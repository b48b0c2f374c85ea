// Package docker says what gourd knows in docker's words: the objects of the Docker Engine API, which
// `gourd inspect` prints. It translates one way, from the records to the API's types.
package docker
