package runtime

// OnParent runs a function on the thread that makes all processes with a parent-death signal, which the
// kernel sends when that thread ends: a process that executes another program must do it there
// (execve(2) ends all other threads).
func OnParent(do func()) { onKeeper(do) }
