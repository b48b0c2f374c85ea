// Package linux wraps the system calls that gourd needs beyond what package os offers, and asks the
// kernel what it can. It decides nothing.
package linux
