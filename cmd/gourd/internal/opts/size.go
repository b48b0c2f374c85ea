package opts

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/docker/go-units"
)

// Bytes reads a size: a number and one of b, k, m, g, t, p (powers of 1024).
func Bytes(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, fmt.Errorf("%q is negative", s)
	}
	return n, nil
}

// SwapBytes is Bytes, and -1 for unlimited.
func SwapBytes(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	return Bytes(s)
}

// CPUs checks that s is a decimal number ("1.5") with at most nine places, and gives it in its shortest
// form. It stays text: 0.29 has no exact binary value.
func CPUs(s string) (string, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" || strings.Count(s, ".") > 1 || s == "." {
		return "", fmt.Errorf("%q is not a decimal number", s)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", fmt.Errorf("%q is not a decimal number", s)
	}
	if nano := new(big.Rat).Mul(r, big.NewRat(1e9, 1)); !nano.IsInt() {
		return "", fmt.Errorf("%q has more than nine decimal places", s)
	}
	text := r.FloatString(9)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), "."), nil
}
