// Package seccomp compiles the seccomp part of an OCI configuration to a classic BPF program.
//
// The verdicts are libseccomp's, with what runc adds to it, since profiles are written for them:
//
//   - The native architecture is always part of the filter. A call of an architecture that is not kills the thread.
//   - A name that no architecture knows is left out. A name that only some know counts on those.
//   - Rules for one call are alternatives; the conditions of one rule must all hold. But where two conditions of
//     one rule look at the same argument, each is an alternative of its own (libseccomp takes one comparison per
//     argument, and runc and crun then split the rule).
//   - A rule without conditions beats all rules of its call; of several such rules the first counts. A rule whose
//     action is the default action is left out.
//   - On 32-bit ABIs (x86, x32, arm) only the low 32 bits of an argument are compared.
//   - On x86 a rule for a call that can also be made through socketcall(2) or ipc(2) covers both ways.
//   - Calls with numbers above the highest that the profile names get ENOSYS, not the default action (runc's rule):
//     a program that tries a new call then falls back to an old one. Not so with a permissive default.
//
// Two things are done better than libseccomp 2.5 does them. If rules with different actions match the same call, it
// takes the one that comes first in its own sorted tree; here it is the one listed first. And its tree loses some
// alternatives that overlap: of `!= 2` or `!= 1` it matches neither 1 nor 2; here every alternative counts.
package seccomp

//go:generate go run gen_tables.go
