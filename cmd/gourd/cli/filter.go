package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// filters collects --filter name=value; several values of one name are alternatives, which the engine
// knows how to read.
func filters(p *map[string][]string) pflag.Value {
	return &value[[2]string]{"filter", parseFilter, func(kv [2]string) {
		if *p == nil {
			*p = map[string][]string{}
		}
		(*p)[kv[0]] = append((*p)[kv[0]], kv[1])
	}}
}

// parseFilter reads name=value and docker's name!=value, whose name keeps the "!".
func parseFilter(s string) (kv [2]string, err error) {
	name, value, found := strings.Cut(s, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	if !found || name == "" {
		return kv, fmt.Errorf("%q is not NAME=VALUE", s)
	}
	return [2]string{name, strings.TrimSpace(value)}, nil
}
