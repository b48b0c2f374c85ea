package main

import (
	"fmt"
	goruntime "runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

func version(*call) (int, error) {
	fmt.Printf("gourd-runtime version %s\nspec: %s\ngo: %s\n", container.Version, specs.Version, goruntime.Version())
	return 0, nil
}
