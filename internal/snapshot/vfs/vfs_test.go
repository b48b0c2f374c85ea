package vfs

import (
	"testing"

	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/suite"
)

func TestSuite(t *testing.T) {
	suite.Run(t, func(root string) (driver.Driver, error) { return Open(root) })
}
