package container

// Version of gourd, set by the build (-ldflags -X).
var Version = "dev"
