package cli

import (
	"encoding/json"
	"strings"
)

// printJSON writes v indented, for a person or a program.
func (a *app) printJSON(v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := a.out.WriteString(b.String())
	return err
}
