// Command suite runs the project's tests and judges the whole: every package's tests, no test skipped
// that this kind of machine can run, the code building and vetting for arm64 too, and nothing left behind
// on the machine (mounts, cgroups, network devices, firewall tables, processes).
//
//	go run ./test/suite [-timeout D] [-run REGEXP] [PACKAGE...]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	timeout := flag.Duration("timeout", 22*time.Minute, "time for each part")
	run := flag.String("run", "", "only tests that match")
	flag.Parse()
	packages := flag.Args()
	all := len(packages) == 0

	var failed bool
	check := func(what string, err error) {
		if err != nil {
			failed = true
			fmt.Printf("FAIL %s: %v\n", what, err)
		}
	}
	before := takeInventory()
	if all {
		check("gofmt", formatted())
		check("vet", command(nil, "go", "vet", "./..."))
		check("build for arm64", command([]string{"GOARCH=arm64", "CGO_ENABLED=0"}, "go", "build", "-o", os.DevNull, "./cmd/..."))
		check("vet for arm64", command([]string{"GOARCH=arm64", "CGO_ENABLED=0"}, "go", "vet", "./cmd/...", "./internal/..."))
	}
	var sum results
	if all {
		// The end-to-end tests measure and count what is on the machine: one package at a time.
		sum.run(*timeout, *run, 2, "./internal/...", "./cmd/...")
		sum.run(*timeout, *run, 1, "./test/...")
	} else {
		sum.run(*timeout, *run, 1, packages...)
	}
	allowed, err := readAllowedSkips("test/skips.txt")
	check("read test/skips.txt", err)
	for _, s := range sum.skips {
		if !allowed.match(s.reason) {
			failed = true
			fmt.Printf("FAIL skipped, though this kind of machine can run it: %s: %s\n", s.test, s.reason)
		}
	}
	for _, left := range takeInventory().since(before) {
		failed = true
		fmt.Printf("FAIL left behind: %s\n", left)
	}
	if len(sum.skips) > 0 {
		fmt.Println("\nSkipped here:")
		for _, s := range sum.skips {
			fmt.Printf("  %s: %s\n", s.test, s.reason)
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, len(sum.skips))
	if failed || sum.failed > 0 || sum.passed == 0 {
		os.Exit(1)
	}
}

func formatted() error {
	out, err := exec.Command("gofmt", "-l", "cmd", "internal", "test").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if s := strings.TrimSpace(string(out)); s != "" {
		return fmt.Errorf("not formatted: %s", strings.ReplaceAll(s, "\n", " "))
	}
	return nil
}

func command(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
