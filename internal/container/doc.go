// Package container holds the nouns of gourd and the record of a container on disk.
//
// Two records describe a container and there is no third: the OCI specs.Spec (config.json) says what
// the kernel is told, Record (record.json) says what the engine adds to it. No fact stands in both.
// The package imports nothing else of gourd, so that every layer may use it.
package container
