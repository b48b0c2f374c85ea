package overlay

import (
	"testing"

	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/suite"
)

func TestSuite(t *testing.T) {
	if err := Probe(t.TempDir()); err != nil {
		t.Skip(err)
	}
	suite.Run(t, func(root string) (driver.Driver, error) { return Open(root) })
}
